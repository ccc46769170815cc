"""Compares the blocked implementation of the pairwise loss with the plain one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.distributed.devices import local_devices, map_step
from hashnet_jax.losses import (
    _columns,
    count_pairs,
    hashnet,
    jaccard,
    kind_weights,
    pair_weights,
    pairwise_loss,
    pairwise_loss_blocks,
    similarity,
    total_count,
)
from hashnet_jax.training import TrainSpec, init_state, train_step
from tests.support.tiny import TINY


def codes_and_labels(seed, n, bits=16, *, multi_label=False):
    rng = np.random.default_rng(seed)
    codes = np.tanh(rng.normal(size=(n, bits))).astype(np.float32)
    labels = (rng.random((n, 6)) < 0.3) if multi_label else rng.integers(0, 5, n)
    return jnp.asarray(codes), jnp.asarray(labels)


def plain_sums(codes_a, codes_b, labels_a, labels_b, *, balance, continuous, first_row, offset=0.0):
    similar = similarity(labels_a, labels_b)
    row, column = jnp.arange(len(labels_a)), jnp.arange(len(labels_b))
    counted = None if first_row is None else (first_row + row)[:, None] != column[None, :]
    weights = pair_weights(
        similar,
        balance=balance,
        continuous=jaccard(labels_a, labels_b) if continuous else None,
        counted=counted,
    )
    return pairwise_loss(codes_a, codes_b, similar, alpha=0.6, offset=offset, weights=weights)


def blocked_sums(
    codes_a, codes_b, labels_a, labels_b, *, balance, continuous, first_row, block, offset=0.0
):
    position = {"first_row": first_row, "block": block}
    weights = kind_weights(balance, *count_pairs(labels_a, labels_b, **position))
    return pairwise_loss_blocks(
        codes_a, codes_b, labels_a, labels_b, alpha=0.6, offset=offset, weights=weights,
        continuous=continuous, **position,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["batch", "none", 5.0])
@pytest.mark.parametrize(
    ("multi_label", "continuous"), [(False, False), (True, False), (True, True)]
)
@pytest.mark.parametrize(("first_row", "block"), [(None, 7), (20, 16)])
def test_value_and_gradients_match_the_plain_implementation(
    balance, multi_label, continuous, first_row, block
):
    codes_b, labels_b = codes_and_labels(0, 61, multi_label=multi_label)
    codes_a, labels_a = codes_b[20:40], labels_b[20:40]
    options = {"balance": balance, "continuous": continuous, "first_row": first_row}
    options["offset"] = 0.0 if first_row is None else 0.25

    def ratio(function, options):
        def loss(a, b):
            numerator, denominator = function(a, b, labels_a, labels_b, **options)
            return numerator / denominator

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(codes_a, codes_b)

    value, gradients = ratio(blocked_sums, options | {"block": block})
    expected, expected_gradients = ratio(plain_sums, options)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for gradient, exact in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, exact, atol=1e-6 * np.abs(exact).max())


def test_the_value_is_the_same_with_and_without_gradients():
    codes, labels = codes_and_labels(1, 50)
    loss = jax.tree_util.Partial(
        pairwise_loss_blocks, labels_a=labels, labels_b=labels, alpha=0.6, first_row=0, block=8
    )
    value, _ = jax.value_and_grad(lambda c: loss(c, c)[0])(codes)
    np.testing.assert_allclose(loss(codes, codes)[0], value, rtol=1e-7)


@pytest.mark.slow
def test_bfloat16_codes_have_float32_sums_and_bfloat16_gradients():
    codes, labels = codes_and_labels(2, 20)
    codes = codes.astype(jnp.bfloat16)

    def loss(a, b):
        return pairwise_loss_blocks(a, b, labels, labels, alpha=0.6, block=6)[0]

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(codes, codes)
    assert value.dtype == jnp.float32
    assert {gradient.dtype for gradient in gradients} == {jnp.dtype(jnp.bfloat16)}
    expected = jax.grad(loss)(codes.astype(jnp.float32), codes.astype(jnp.float32))
    np.testing.assert_allclose(gradients[0].astype(np.float32), expected, atol=0.05)


@pytest.mark.slow
def test_counts_of_2_7e8_pairs_are_exact():
    # Classes of 1 and 16,383 rows: near 2.7e8, float32 has steps of 16, which would lose the one.
    labels = (jnp.arange(16_384) > 0).astype(jnp.int32)
    n_similar, n_dissimilar = jax.jit(lambda x: count_pairs(x, x, first_row=0))(labels)
    assert int(n_dissimilar) == 2 * 16_383
    assert int(n_similar) == np.float32(16_383 * 16_382)
    assert float(total_count(jnp.full(2**16, 2**16 - 1))) == np.float32(2**16 * (2**16 - 1))
    assert float(total_count(jnp.array([2**24, 1]))) == 2**24
    assert float(total_count(jnp.array([2**24, 1, 1]))) == 2**24 + 2


@pytest.mark.slow
def test_the_loss_is_finite_if_all_pairs_are_of_one_kind():
    codes, _ = codes_and_labels(3, 12)
    for labels in (jnp.arange(12), jnp.zeros(12, int)):
        options = {"balance": "batch", "continuous": False, "first_row": 0}
        got = blocked_sums(codes, codes, labels, labels, **options, block=5)
        np.testing.assert_allclose(
            got, plain_sums(codes, codes, labels, labels, **options), rtol=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_blocked_step_equals_the_plain_step_on_one_and_two_devices(monkeypatch, multi_label):
    rng = np.random.default_rng(4)
    label = (rng.random((16, 5)) < 0.4) if multi_label else np.sort(rng.integers(0, 4, 16))
    images = rng.integers(0, 256, (16, 8, 8, 3)).astype(np.uint8)
    batch = {"image": images, "label": np.asarray(label, np.int32)}
    train = TrainSpec(total_steps=10, learning_rate=1e-3, continuous_similarity=multi_label)
    state = init_state(jax.random.key(0), TINY, train)
    expected, expected_metrics = jax.jit(train_step)(state, batch)

    monkeypatch.setattr(hashnet, "BLOCKED_FROM", 1)
    monkeypatch.setattr(_columns, "_BLOCK_PAIRS", 48)
    fresh = dataclasses.replace(state, key=jax.random.clone(state.key))
    # A new function, because jit has cached the plain implementation for the old one.
    results = [jax.jit(lambda *args: train_step(*args))(fresh, batch)]
    results.append(map_step(train_step, local_devices(2))(fresh, batch))
    for new, metrics in results:
        for name, value in expected_metrics.items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
        for a, b in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected.params), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_blocked_loss_never_allocates_an_array_of_all_pairs():
    codes, labels = codes_and_labels(5, 4096, bits=64)

    def loss(codes):
        return pairwise_loss_blocks(codes, codes, labels, labels, alpha=0.2, first_row=0)[0]

    memory = jax.jit(jax.grad(loss)).lower(codes).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4096 * 4096 * 4 / 2


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c, y: pairwise_loss_blocks(c, c, y[:2], y, alpha=1.0), ValueError, "labels_a"),
        (lambda c, y: pairwise_loss_blocks(c, c[:, :2], y, y, alpha=1.0), ValueError, "bits K"),
        (
            lambda c, y: pairwise_loss_blocks(c, c, y, y, alpha=1.0, block=0),
            ValueError,
            "`block` must be >= 1, got 0",
        ),
        (lambda c, y: count_pairs(y * 1.0, y), TypeError, "must be integers"),
        (lambda c, y: total_count(jnp.zeros(2**16 + 1, int)), ValueError, "65,536 rows"),
    ],
)
def test_malformed_codes_labels_and_blocks_are_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call(*codes_and_labels(6, 4))
