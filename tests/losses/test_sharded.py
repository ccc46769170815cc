"""Under `jax.jit` with sharded arrays, the loss covers the global batch, as on one device."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from hashnet_jax import relax
from hashnet_jax.losses import hashnet, pairwise_batch_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(64, 12)).astype(np.float32)
LABELS = {"ids": np.arange(64) % 5, "multi-hot": (RNG.random((64, 4)) < 0.4).astype(np.float32)}


def value_and_gradient(logits, labels):
    def objective(logits):
        loss = pairwise_batch_loss(labels, alpha=0.8, continuous=labels.ndim == 2)
        return loss.share(relax(logits, 2.0))

    return jax.value_and_grad(objective)(logits)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("blocked_from", [1, 2**22], ids=["blocked", "plain"])
def test_sharded_value_and_gradient_equal_those_on_one_device(labels, blocked_from, monkeypatch):
    monkeypatch.setattr(hashnet, "BLOCKED_FROM", blocked_from)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    compiled = jax.jit(lambda logits, labels: value_and_gradient(logits, labels))
    one = compiled(LOGITS, labels)
    sharded = compiled(jax.device_put(LOGITS, rows), jax.device_put(labels, rows))
    assert sharded[1].sharding.is_equivalent_to(rows, 2)
    np.testing.assert_allclose(sharded[0], one[0], rtol=1e-6)
    np.testing.assert_allclose(sharded[1], one[1], atol=1e-7)
    assert np.abs(one[1]).max() > 1e-3
