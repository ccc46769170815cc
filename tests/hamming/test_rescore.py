"""Compares rescoring by logits with a stable sort of the scores on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.codes import binarize, pack_bits, unpack_bits
from hashnet_jax.hamming import rescore, top_k


def random_codes(seed, n, bits):
    return np.random.default_rng(seed).choice([-1, 1], (n, bits)).astype(np.int8)


def ranking(logits, database, candidates):
    """Returns (score, index) by decreasing score and then by index; candidates of -1 come last."""
    scores = logits.astype(float) @ database.astype(float).T
    rows = []
    for row, indices in zip(scores, candidates, strict=True):
        rows.append(sorted((-row[i] if i >= 0 else np.inf, i) for i in indices))
    return -np.array(rows)[..., 0], np.array(rows)[..., 1].astype(int)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(bits=st.sampled_from([1, 7, 48, 200]), seed=st.integers(0, 1000))
def test_candidates_are_sorted_by_score_and_then_by_index(bits, seed):
    rng = np.random.default_rng(seed)
    # Multiples of 1/8, whose sums are exact, so that scores tie.
    logits = rng.integers(-20, 20, (3, bits)).astype(np.float32) / 8
    database = random_codes(seed, 60, bits)[rng.integers(0, 40, 60)]
    candidates = np.stack([rng.permutation(60)[:25] for _ in range(3)])
    score, index = rescore(logits, pack_bits(database), candidates)
    expected_score, expected_index = ranking(logits, database, candidates)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(score, expected_score)
    assert (score.dtype, index.dtype) == (jnp.float32, jnp.int32)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_score_is_the_inner_product_at_any_scale_of_the_logits(scale):
    logits = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32) * np.float32(scale)
    database = random_codes(1, 50, 64)
    score, index = rescore(logits, pack_bits(database), np.tile(np.arange(50), (4, 1)))
    expected = np.take_along_axis(logits.astype(float) @ database.T, np.asarray(index), axis=1)
    np.testing.assert_allclose(score, expected, rtol=1e-6, atol=1e-5 * scale)
    assert (np.diff(score) <= 0).all()


def test_equal_codes_tie_exactly_whatever_the_logits():
    logits = np.random.default_rng(2).normal(size=(3, 100)).astype(np.float32)
    database = random_codes(3, 4, 100)[np.arange(97) % 4]
    score, index = rescore(logits, pack_bits(database), np.tile(np.arange(97)[::-1], (3, 1)))
    assert [len(set(row)) for row in score.tolist()] == [4, 4, 4]
    expected = np.argsort(-(logits @ database[:4].T), axis=1)
    for row, order in zip(index.tolist(), expected, strict=True):
        assert row == [i for first in order for i in range(first, 97, 4)]


@pytest.mark.slow
def test_rescoring_the_whole_database_inside_jit_is_an_exact_search_by_score():
    logits = np.random.default_rng(4).normal(size=(5, 12)).astype(np.float32)
    database = random_codes(5, 80, 12)

    @jax.jit
    def search(logits, packed):
        _, candidates = top_k(pack_bits(binarize(logits)), packed, 80)
        return rescore(logits, packed, candidates)

    _, index = search(logits, pack_bits(database))
    _, expected = ranking(logits, database, np.tile(np.arange(80), (5, 1)))
    # Different codes score differently here, so the order of equal codes is the only tie.
    np.testing.assert_array_equal(index, expected)


def test_candidates_that_are_missing_come_last():
    packed = pack_bits(np.array([[-1, -1, -1], [1, 1, 1]]))
    score, index = rescore(np.ones((2, 3), np.float32), packed, np.array([[-1, 0, 1], [-1, -1, 0]]))
    assert index.tolist() == [[1, 0, -1], [0, -1, -1]]
    assert score.tolist() == [[3.0, -3.0, -np.inf], [-3.0, -np.inf, -np.inf]]


def test_logits_of_zero_give_scores_of_zero_in_order_of_index():
    packed = pack_bits(random_codes(6, 3, 9))
    score, index = rescore(np.zeros((1, 9), np.float32), packed, np.array([[2, 0, 1]]))
    assert (score.tolist(), index.tolist()) == ([[0, 0, 0]], [[0, 1, 2]])


@pytest.mark.parametrize(("queries", "candidates"), [(0, 4), (3, 0)])
def test_without_queries_or_candidates_the_result_is_empty(queries, candidates):
    packed = pack_bits(random_codes(7, 5, 12))
    score, index = rescore(
        np.ones((queries, 12), np.float32), packed, np.zeros((queries, candidates), int)
    )
    assert score.shape == index.shape == (queries, candidates)


def test_rescoring_processes_queries_in_blocks_of_bounded_memory():
    shapes = (jnp.zeros((1_000, 64)), jnp.zeros((10_000, 8), jnp.uint8))
    compiled = jax.jit(rescore).lower(*shapes, jnp.zeros((1_000, 1_000), jnp.int32)).compile()
    # The codes of all candidates as int32 would take 244 MiB.
    assert compiled.memory_analysis().temp_size_in_bytes < 64 * 2**20


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"logits": np.ones(3)}, ValueError, r"must be \[Q, K\] and \[Q, n\]"),
        ({"candidates": np.zeros((1, 2), int)}, ValueError, "a row for each query"),
        ({"candidates": np.zeros(2, int)}, ValueError, r"got \(2, 12\) and \(2,\)"),
        ({"logits": np.ones((2, 17))}, ValueError, "ceil.K/8"),
        ({"packed_database": np.zeros((5, 2))}, TypeError, "must be uint8"),
        ({"logits": np.full((2, 12), np.nan)}, ValueError, "`logits` must be finite"),
        ({"candidates": np.array([[0], [5]])}, ValueError, "N = 5 codes.* the largest is 5"),
        ({"candidates": np.array([[0], [-2]])}, ValueError, "the smallest is -2"),
        ({"candidates": np.zeros((2, 1))}, TypeError, "`candidates` must be integers"),
    ],
)
def test_wrong_arguments_are_rejected(change, error, message):
    arguments = {
        "logits": np.ones((2, 12)),
        "packed_database": np.zeros((5, 2), np.uint8),
        "candidates": np.zeros((2, 1), int),
    }
    with pytest.raises(error, match=message):
        rescore(**arguments | change)


def test_padding_bits_do_not_change_the_score():
    logits = np.random.default_rng(8).normal(size=(2, 9)).astype(np.float32)
    packed = pack_bits(random_codes(9, 20, 9))
    score, _ = rescore(logits, packed, np.tile(np.arange(20), (2, 1)))
    codes = np.asarray(unpack_bits(packed, 9), float)
    expected = -np.sort(-(logits.astype(float) @ codes.T), axis=1)
    np.testing.assert_allclose(score, expected, atol=1e-5)
