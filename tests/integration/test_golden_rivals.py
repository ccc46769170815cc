"""Compares the rivals' losses and gradients with those of their public code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.baselines import csq, dhn, dpsh, greedyhash, orthohash
from experiments.baselines._bank import Bank
from tests.integration import SHARED


def golden_case(method, case):
    """Returns the arrays of one case, keyed by name."""
    prefix = f"{method}/{case}/"
    with np.load(SHARED / "golden" / "rivals.npz") as file:
        names = [name for name in file.files if name.startswith(prefix)]
        return {name.removeprefix(prefix): file[name] for name in names}


def check(golden, loss, weights, state, *, quantization=None):
    """Compares loss and gradients, and the loss without quantization; returns the new state."""

    def of(weights, outputs, **settings):
        indices = jnp.asarray(golden.get("ind", np.arange(len(golden["u"]))))
        return loss(weights, outputs, jnp.asarray(golden["labels"]), indices, state, 0, **settings)

    (value, new_state), (grad_weights, grad) = jax.jit(
        jax.value_and_grad(of, argnums=(0, 1), has_aux=True)
    )(weights, jnp.asarray(golden["u"]))
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, golden["loss"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(grad, golden["grad_u"], rtol=0, atol=1e-6)
    if "grad_weight" in golden:
        np.testing.assert_allclose(grad_weights, golden["grad_weight"], rtol=0, atol=1e-6)
    if quantization is not None:
        without, _ = of(weights, jnp.asarray(golden["u"]), **{quantization: 0.0})
        np.testing.assert_allclose(without, golden["loss_no_quant"], rtol=0, atol=1e-6)
    return new_state


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("method", [dhn, dpsh])
def test_dhn_and_dpsh_equal_the_public_code(method, case):
    golden = golden_case(method.__name__.split(".")[-1], case)
    bank = Bank(jnp.asarray(golden["bank_u"]), jnp.asarray(golden["bank_labels"]))
    loss = functools.partial(method.loss, alpha=float(golden["alpha"]))
    after = check(golden, loss, (), bank, quantization="alpha")
    np.testing.assert_array_equal(after.outputs, golden["bank_u_after"])
    np.testing.assert_array_equal(after.labels, golden["bank_labels_after"])


@pytest.mark.parametrize("case", range(3))
def test_csq_equals_the_public_code(case):
    golden = golden_case("csq", case)
    centres = csq.Centres(
        jnp.asarray(golden["centers"]), jnp.asarray(2 * golden["random_center"] - 1)
    )
    loss = functools.partial(csq.loss, quantization_weight=float(golden["lambda"]))
    check(golden, loss, (), centres, quantization="quantization_weight")
    targets = csq.targets(centres, jnp.asarray(golden["labels"]))
    np.testing.assert_array_equal(targets, golden["targets"])
    own = csq.hash_centres(jax.random.key(0), *golden["centers"].shape)
    np.testing.assert_array_equal(own, golden["centers"])


@pytest.mark.parametrize("case", range(3))
def test_orthohash_equals_the_public_code(case):
    golden = golden_case("orthohash", case)
    assert (golden["s"], golden["m"]) == (8.0, 0.2)
    check(golden, orthohash.loss, (), jnp.asarray(golden["codebook"]))


@pytest.mark.parametrize("case", range(3))
def test_greedyhash_equals_the_public_code(case):
    golden = golden_case("greedyhash", case)
    loss = functools.partial(greedyhash.loss, alpha=float(golden["alpha"]))
    check(golden, loss, jnp.asarray(golden["weight"]), (), quantization="alpha")
