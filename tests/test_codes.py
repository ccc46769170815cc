"""Tests relaxed, binary and packed codes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.codes import (
    binarize,
    bytes_per_code,
    check_packed,
    pack_bits,
    quantization_gap,
    relax,
    unpack_bits,
)


def test_beta_is_traced_so_four_values_share_one_trace():
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


def test_at_infinite_beta_value_and_gradient_equal_those_of_sgn():
    z = jnp.array([-2.0, 0.0, 3.0])
    value, gradient = jax.value_and_grad(lambda z: relax(z, jnp.inf).sum())(z)
    assert value == 1.0
    np.testing.assert_array_equal(gradient, np.zeros(3))


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, np.float32(-2), jnp.array(0.0)])
def test_a_beta_that_is_not_positive_is_rejected_unless_traced(beta):
    z = jnp.array([0.5])
    with pytest.raises(ValueError, match="`beta` must be > 0, got"):
        relax(z, beta)
    assert jax.jit(relax)(z, beta).shape == (1,)


def test_an_empty_array_of_codes_can_be_packed_and_unpacked():
    packed = pack_bits(jnp.zeros((0, 12), jnp.int8))
    assert packed.shape == (0, 2)
    assert pack_bits(jnp.zeros((0, 3, 12), jnp.int8)).shape == (0, 3, 2)
    assert unpack_bits(packed, 12).shape == binarize(jnp.zeros((0, 12))).shape == (0, 12)
    assert relax(jnp.zeros((0, 12)), 1.0).shape == (0, 12)


def test_codes_are_exactly_binary_even_at_zero_and_nan():
    z = jnp.array([0.0, -0.0, jnp.nan, -jnp.inf, jnp.inf, 1e-45])
    codes = binarize(z)
    assert codes.dtype == jnp.int8
    assert set(codes.tolist()) <= {-1, 1}
    assert codes[:2].tolist() == [1, 1]


def test_relaxed_codes_approach_binary_codes_as_beta_grows():
    z = jax.random.normal(jax.random.key(0), (50, 16))
    gaps = [float(quantization_gap(relax(z, beta))) for beta in (1.0, 3.0, 10.0, 1e6, math.inf)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == 0.0


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(bits=st.integers(1, 70), seed=st.integers(0, 1000))
def test_unpack_bits_inverts_pack_bits_for_any_number_of_bits(bits, seed):
    codes = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (3, bits))
    packed = pack_bits(codes)
    assert packed.shape == (3, bytes_per_code(bits))
    np.testing.assert_array_equal(packed, np.packbits(codes > 0, axis=-1))
    np.testing.assert_array_equal(unpack_bits(packed, bits), codes)


def test_padding_bits_are_checked_on_request():
    packed = np.array([[0b11110000]], np.uint8)
    check_packed("packed", packed, 4, zero_padding=True)
    check_packed("packed", packed, 3)
    with pytest.raises(ValueError, match="beyond K = 3 must be zero, but some are set"):
        check_packed("packed", packed, 3, zero_padding=True)


@pytest.mark.parametrize("bits", range(1, 18))
def test_only_the_padding_bits_are_checked(bits):
    n = bytes_per_code(bits)
    for place in range(8 * n):
        codes = np.packbits(np.arange(8 * n) == place)[None]
        if place < bits:
            check_packed("packed", codes, bits, zero_padding=True)
        else:
            with pytest.raises(ValueError, match=f"beyond K = {bits} must be zero"):
                check_packed("packed", codes, bits, zero_padding=True)


def test_the_rank_of_packed_codes_is_checked_on_request():
    packed = np.zeros((2, 3, 1), np.uint8)
    check_packed("packed", packed, 8)
    with pytest.raises(ValueError, match=r"\[codes, 1\] for K = 8 bits, got shape \(2, 3, 1\)"):
        check_packed("packed", packed, 8, ndim=2)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pack_bits(jnp.zeros((2, 0))), ValueError, "K >= 1"),
        (lambda: pack_bits(jnp.zeros(())), ValueError, "K >= 1"),
        (lambda: unpack_bits(jnp.zeros((2, 2), jnp.uint8), 17), ValueError, "ceil"),
        (
            lambda: unpack_bits(jnp.zeros((2, 2), jnp.uint8), 0),
            ValueError,
            "`bits` must be >= 1, got 0",
        ),
        (lambda: unpack_bits(jnp.zeros((2, 2), jnp.int8), 16), TypeError, "pack_bits"),
        (lambda: unpack_bits(jnp.zeros((), jnp.uint8), 8), ValueError, r"got shape \(\)"),
        (lambda: unpack_bits(jnp.zeros((2, 2), jnp.uint8), 16.0), TypeError, "got float 16.0"),
        (lambda: unpack_bits(jnp.zeros((2, 2), jnp.uint8), None), TypeError, "got NoneType None"),
        (lambda: bytes_per_code(0), ValueError, "`bits` must be >= 1, got 0"),
        (lambda: bytes_per_code(True), TypeError, "`bits` must be an int, got bool True"),
        (lambda: relax(jnp.array([1, 2]), 0.5), TypeError, "`logits` .* float.*, got int32"),
        (lambda: quantization_gap(jnp.zeros((0, 12))), ValueError, r"got shape \(0, 12\)"),
    ],
)
def test_malformed_codes_are_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call()
