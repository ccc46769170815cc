"""Tests a loss added from outside the package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax import losses
from hashnet_jax.codes import relax
from hashnet_jax.model import training_logits
from hashnet_jax.training import TrainSpec, init_state, train_step
from tests.support.tiny import TINY


def toy_loss(labels, *, alpha, offset, balance, continuous, axis_name):
    """Returns alpha times the mean squared code entry; labels are ignored."""
    del labels, balance, continuous, axis_name

    def share(codes):
        return alpha * jnp.mean(jnp.square(codes))

    return losses.BatchLoss(share, jnp.zeros(()))


losses.register("toy_loss", toy_loss)


@pytest.mark.slow
def test_a_registered_loss_can_be_selected_by_name():
    train = TrainSpec(total_steps=10, loss="toy_loss", alpha=3.0)
    state = init_state(jax.random.key(0), TINY, train)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    batch = {"image": jnp.asarray(images), "label": jnp.array([0, 0, 1, 1])}
    new, metrics = jax.jit(train_step)(state, batch)

    z, _ = training_logits(state.params, batch["image"], key=jax.random.fold_in(state.key, 0))
    expected = 3.0 * jnp.mean(jnp.square(relax(z, state.beta)))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    assert metrics["similar_share"] == 0.0
    before = jax.tree.leaves(state.params.variables["params"])
    after = jax.tree.leaves(new.params.variables["params"])
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_registered_name_cannot_be_reused():
    with pytest.raises(ValueError, match="'hashnet' is already registered"):
        losses.register("hashnet", toy_loss)
