import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.continuation import (
    binarize,
    quantization_gap,
    relax,
    sqrt_schedule,
    stage_schedule,
)


def test_beta_is_traced_so_four_values_are_one_trace():
    traces = []

    @jax.jit
    def relaxed(z, beta):
        traces.append(beta)
        return relax(z, beta)

    z = jnp.linspace(-1, 1, 5)
    for beta in (1.0, 2.0, 7.0, math.inf):
        expected = np.where(z >= 0, 1, -1) if beta == math.inf else np.tanh(beta * z)
        np.testing.assert_allclose(relaxed(z, beta), expected, rtol=1e-6)
    assert len(traces) == 1


def test_at_beta_infinity_value_and_gradient_are_those_of_sgn():
    z = jnp.array([-2.0, 0.0, 3.0])
    value, gradient = jax.value_and_grad(lambda z: relax(z, jnp.inf).sum())(z)
    assert value == 1.0
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_codes_are_exactly_binary_also_at_zero_and_for_nan():
    z = jnp.array([0.0, -0.0, jnp.nan, -jnp.inf, jnp.inf, 1e-45])
    codes = binarize(z)
    assert codes.dtype == jnp.int8
    assert set(codes.tolist()) <= {-1, 1}
    assert codes[:2].tolist() == [1, 1]


def test_relaxed_codes_approach_binary_ones_as_beta_grows():
    z = jax.random.normal(jax.random.key(0), (50, 16))
    gaps = [float(quantization_gap(relax(z, beta))) for beta in (1.0, 3.0, 10.0, 1e6, math.inf)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == 0.0


def test_sqrt_schedule_stretches_with_the_run():
    authors, stretched = sqrt_schedule(), sqrt_schedule(total_steps=500)
    for step in range(0, 500, 7):
        np.testing.assert_allclose(stretched(step), authors(step * 20), rtol=1e-6)


def test_stages_start_in_order_and_end_at_sgn():
    schedule = stage_schedule(total_steps=10, betas=(1.0, 2.0, 4.0, math.inf))
    betas = [float(schedule(step)) for step in range(12)]
    assert betas == [1, 1, 1, 2, 2, 2, 4, 4, 4, 4, math.inf, math.inf]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sqrt_schedule(total_steps=0), "total_steps"),
        (lambda: stage_schedule(total_steps=9, betas=(1.0, 1.0)), "increase strictly"),
        (lambda: stage_schedule(total_steps=9, betas=(0.0, 1.0)), "positive"),
        (lambda: stage_schedule(total_steps=9, betas=(math.inf,)), "finite first"),
        (lambda: stage_schedule(total_steps=1, betas=(1.0, 2.0)), "at least 2"),
    ],
)
def test_bad_hyper_parameters_say_what_must_hold(make, message):
    with pytest.raises(ValueError, match=message):
        make()
