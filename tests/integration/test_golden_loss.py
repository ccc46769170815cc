"""Compares the loss and the beta schedule with values recorded from the authors' own code."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.losses import pair_weights, pairwise_loss, similarity
from hashnet_jax.schedules import sqrt_schedule
from tests.integration import SHARED

GOLDEN = SHARED / "golden"


def golden_case(number):
    """Returns the authors' arrays for one case, keyed by name."""
    prefix = f"case{number}_"
    with np.load(GOLDEN / "pairwise_loss.npz") as file:
        names = [name for name in file.files if name.startswith(prefix)]
        return {name.removeprefix(prefix): file[name] for name in names}


@pytest.mark.parametrize("case", range(5))
def test_loss_and_gradients_equal_the_authors(case):
    golden = golden_case(case)
    similar = similarity(golden["labels_a"], golden["labels_b"])
    weights = pair_weights(similar, balance=float(golden["class_num"]))

    def loss(codes_a, codes_b):
        numerator, denominator = pairwise_loss(
            codes_a, codes_b, similar, alpha=float(golden["alpha"]), weights=weights
        )
        return numerator / denominator

    value, (grad_a, grad_b) = jax.value_and_grad(loss, argnums=(0, 1))(
        jnp.asarray(golden["codes_a"], jnp.float32), jnp.asarray(golden["codes_b"], jnp.float32)
    )
    np.testing.assert_allclose(value, golden["loss"], rtol=1e-5)
    for got, expected in ((grad_a, golden["grad_a"]), (grad_b, golden["grad_b"])):
        # Relative to the largest entry, since entries near zero are differences of larger numbers.
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_beta_equals_the_authors_at_every_recorded_iteration():
    with open(GOLDEN / "beta_schedule.csv", newline="") as file:
        rows = [(int(row["iteration"]), float(row["beta"])) for row in csv.DictReader(file)]
    assert len(rows) > 100
    schedule = sqrt_schedule()
    got = [float(schedule(iteration)) for iteration, _ in rows]
    np.testing.assert_allclose(got, [beta for _, beta in rows], rtol=1e-6)
