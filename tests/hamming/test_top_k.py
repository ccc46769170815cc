"""Compares Hamming distances and nearest codes with brute force and faiss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.codes import pack_bits
from hashnet_jax.hamming import _bit_slices, _top_k, distances, top_k


def random_codes(seed, n, bits):
    return np.random.default_rng(seed).choice([-1, 1], (n, bits)).astype(np.int8)


def stable_ranking(queries, database, k):
    """Returns ``(distance, index)`` of the k nearest codes by a stable sort of distances."""
    all_distances = (queries[:, None, :] != database[None, :, :]).sum(-1)
    order = np.argsort(all_distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(all_distances, order, axis=1), order


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(bits=st.integers(1, 70), seed=st.integers(0, 1000))
def test_distances_count_differing_bits(bits, seed):
    a, b = random_codes(seed, 4, bits), random_codes(seed + 1, 5, bits)
    expected = (a[:, None, :] != b[None, :, :]).sum(-1)
    np.testing.assert_array_equal(distances(pack_bits(a), pack_bits(b)), expected)


def test_top_k_is_a_stable_sort_by_distance():
    queries, database = random_codes(0, 6, 5), random_codes(1, 200, 5)
    expected_distance, expected_index = stable_ranking(queries, database, 50)
    distance, index = top_k(pack_bits(queries), pack_bits(database), 50)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)


def test_codes_that_differ_in_every_bit_rank_before_the_padding():
    database = pack_bits(-jnp.ones((70, 64)))
    distance, index = top_k(pack_bits(jnp.ones((1, 64))), database, 70)
    np.testing.assert_array_equal(distance, np.full((1, 70), 64))
    np.testing.assert_array_equal(index, [np.arange(70)])


def test_distances_equal_those_of_faiss():
    faiss = pytest.importorskip("faiss")
    queries, database = random_codes(0, 20, 64), random_codes(1, 500, 64)
    index = faiss.IndexBinaryFlat(64)
    index.add(np.packbits(database > 0, axis=1))
    expected, _ = index.search(np.packbits(queries > 0, axis=1), 10)
    distance, _ = top_k(pack_bits(queries), pack_bits(database), 10)
    np.testing.assert_array_equal(distance, expected)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: distances(jnp.zeros((2, 2)), jnp.zeros((2, 2))), TypeError, "uint8"),
        (
            lambda: distances(jnp.zeros((2, 2), jnp.uint8), jnp.zeros((2, 3), jnp.uint8)),
            ValueError,
            "same K",
        ),
        (
            lambda: top_k(jnp.zeros((1, 2), jnp.uint8), jnp.zeros((3, 2), jnp.uint8), 4),
            ValueError,
            "1..N = 1..3",
        ),
        (
            lambda: top_k(jnp.zeros((1, 2), jnp.uint8), jnp.zeros((0, 2), jnp.uint8), 1),
            ValueError,
            "larger database",
        ),
        (
            lambda: top_k(jnp.zeros((1, 2), jnp.uint8), jnp.zeros((3, 2), jnp.uint8), 0),
            ValueError,
            "`k` must be >= 1, got 0",
        ),
        (
            lambda: top_k(jnp.zeros((1, 2), jnp.uint8), jnp.zeros((3, 2), jnp.uint8), 2.0),
            TypeError,
            "`k` must be an int, got float",
        ),
        (
            lambda: top_k(jnp.zeros((1, 0), jnp.uint8), jnp.zeros((3, 0), jnp.uint8), 1),
            ValueError,
            "the same K >= 1",
        ),
        (
            lambda: distances(jnp.zeros(2, jnp.uint8), jnp.zeros((3, 2), jnp.uint8)),
            ValueError,
            "the same K >= 1",
        ),
    ],
)
def test_malformed_codes_and_k_out_of_range_are_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.slow
# Few examples, since each is compiled.
@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(1, 700),
    bits=st.sampled_from([1, 4, 9, 32, 33, 64, 128, 200, 600]),
    number=st.sampled_from([3, 70]),
    few_distinct=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_top_k_by_groups_is_a_stable_sort_for_any_sizes_and_ties(
    n, bits, number, few_distinct, seed
):
    rng = np.random.default_rng(seed)
    queries, database = random_codes(seed, number, bits), random_codes(seed + 1, n, bits)
    if few_distinct:
        database = database[rng.integers(0, min(n, 4), n)]
    k = int(rng.integers(1, n + 1)) if seed % 2 else min(n, 5)
    expected_distance, expected_index = stable_ranking(queries, database, k)
    distance, index = top_k(pack_bits(queries), pack_bits(database), k)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)
    assert distance.dtype == index.dtype == jnp.int32


@pytest.fixture
def compiled_anew():
    """Compiles the search for the constants of this test alone."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.parametrize("bits", [8, 40, 128])
@pytest.mark.parametrize("tile_words", [1, 300, 2**16])
def test_bit_slices_find_the_same_codes_in_one_tile_or_many(
    bits, tile_words, monkeypatch, compiled_anew
):
    monkeypatch.setattr(_bit_slices, "_TILE_WORDS", tile_words)
    monkeypatch.setattr(_top_k, "_SLICES_FROM", 1)
    monkeypatch.setattr(_top_k, "_has_vector_popcount", lambda: False)
    queries, database = random_codes(0, 5, bits), random_codes(1, 900, bits)
    database[500:] = database[0]  # ties within the last group, its padding, and other groups
    expected_distance, expected_index = stable_ranking(queries, database, 9)
    distance, index = top_k(pack_bits(queries), pack_bits(database), 9)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)


@pytest.mark.parametrize("bits", [8, 64, 100, 128])
def test_bit_slices_give_the_smallest_distance_in_each_group(bits):
    queries, database = random_codes(0, 4, bits), random_codes(1, 320, bits)
    database[:32] = -queries[0]  # the largest distance sets the highest digit
    words = [_top_k._words(pack_bits(codes)) for codes in (queries, database)]
    tiles = _bit_slices.slice_bits(words[1].reshape(10, 32, -1), 8 * -(-bits // 8))
    found = np.concatenate(_bit_slices.smallest_per_group(words[0], tiles), axis=-1)[:, :10]
    all_distances = (queries[:, None] != database[None]).sum(-1)
    np.testing.assert_array_equal(found, all_distances.reshape(4, 10, 32).min(-1))


@pytest.mark.slow
@pytest.mark.parametrize("number", [7, 70])
def test_top_k_processes_queries_in_blocks_of_bounded_memory(number, monkeypatch, compiled_anew):
    queries, database = pack_bits(random_codes(0, number, 40)), pack_bits(random_codes(1, 900, 40))
    expected = top_k(queries, database, 6)
    with monkeypatch.context() as patch:
        patch.setattr(_top_k, "_WORKING_SET", 2_000)
        jax.clear_caches()
        for got, whole in zip(top_k(queries, database, 6), expected, strict=True):
            np.testing.assert_array_equal(got, whole)
    shapes = (jnp.zeros((1_000, 8), jnp.uint8), jnp.zeros((100_000, 8), jnp.uint8))
    search = jax.jit(top_k, static_argnums=2).lower(*shapes, 1_000).compile()
    # All distances would take 381 MiB, and the groups of all queries at once 252 MiB.
    assert search.memory_analysis().temp_size_in_bytes < 64 * 2**20


@pytest.mark.parametrize("search", [top_k, jax.jit(top_k, static_argnums=2)])
def test_top_k_without_queries_is_empty(search):
    distance, index = search(jnp.zeros((0, 2), jnp.uint8), pack_bits(random_codes(0, 9, 12)), 3)
    assert distance.shape == index.shape == (0, 3)
    assert distance.dtype == index.dtype == jnp.int32


def test_codes_at_the_largest_distance_come_before_the_padding_of_their_group():
    query = np.ones((1, 32), np.int8)
    distance, index = top_k(pack_bits(query), pack_bits(-np.repeat(query, 3, axis=0)), 3)
    assert distance.tolist() == [[32, 32, 32]]
    assert index.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("queries", "database"), [(0, 3), (3, 0), (0, 0)])
def test_distances_of_empty_codes_are_empty(queries, database):
    a, b = jnp.zeros((queries, 2), jnp.uint8), jnp.zeros((database, 2), jnp.uint8)
    assert distances(a, b).shape == (queries, database)
