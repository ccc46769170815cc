import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax import hamming
from hashnet_jax.hamming import distances, pack_bits, top_k, unpack_bits


def random_codes(seed, n, bits):
    return np.random.default_rng(seed).choice([-1, 1], (n, bits)).astype(np.int8)


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(1, 70), seed=st.integers(0, 1000))
def test_packing_and_unpacking_give_back_the_codes_for_any_number_of_bits(bits, seed):
    codes = random_codes(seed, 3, bits)
    packed = pack_bits(codes)
    assert packed.shape == (3, -(-bits // 8))
    np.testing.assert_array_equal(packed, np.packbits(codes > 0, axis=-1))
    np.testing.assert_array_equal(unpack_bits(packed, bits), codes)


@settings(max_examples=20, deadline=None)
@given(bits=st.integers(1, 70), seed=st.integers(0, 1000))
def test_distances_count_the_bits_that_differ(bits, seed):
    a, b = random_codes(seed, 4, bits), random_codes(seed + 1, 5, bits)
    expected = (a[:, None, :] != b[None, :, :]).sum(-1)
    np.testing.assert_array_equal(distances(pack_bits(a), pack_bits(b)), expected)


def test_top_k_is_a_stable_sort_by_distance():
    queries, database = random_codes(0, 6, 5), random_codes(1, 200, 5)
    all_distances = (queries[:, None, :] != database[None, :, :]).sum(-1)
    order = np.argsort(all_distances, axis=1, kind="stable")[:, :50]
    distance, index = top_k(pack_bits(queries), pack_bits(database), 50)
    np.testing.assert_array_equal(index, order)
    np.testing.assert_array_equal(distance, np.take_along_axis(all_distances, order, axis=1))


def test_distances_equal_those_of_faiss():
    faiss = pytest.importorskip("faiss")
    queries, database = random_codes(0, 20, 64), random_codes(1, 500, 64)
    index = faiss.IndexBinaryFlat(64)
    index.add(np.packbits(database > 0, axis=1))
    expected, _ = index.search(np.packbits(queries > 0, axis=1), 10)
    distance, _ = top_k(pack_bits(queries), pack_bits(database), 10)
    np.testing.assert_array_equal(distance, expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pack_bits(jnp.zeros((2, 0))), ValueError, "K >= 1"),
        (lambda: unpack_bits(jnp.zeros((2, 2), jnp.uint8), 17), ValueError, "ceil"),
        (lambda: unpack_bits(jnp.zeros((2, 2), jnp.int8), 16), TypeError, "pack_bits"),
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
    ],
)
def test_bad_input_says_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 700),
    bits=st.sampled_from([1, 4, 9, 32, 33, 64, 200, 600]),
    few=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_top_k_by_groups_is_a_stable_sort_whatever_the_sizes_and_the_ties(n, bits, few, seed):
    rng = np.random.default_rng(seed)
    queries, database = random_codes(seed, 3, bits), random_codes(seed + 1, n, bits)
    if few:
        database = database[rng.integers(0, min(n, 4), n)]
    k = int(rng.integers(1, n + 1)) if seed % 2 else min(n, 5)
    all_distances = (queries[:, None, :] != database[None, :, :]).sum(-1)
    order = np.argsort(all_distances, axis=1, kind="stable")[:, :k]
    distance, index = top_k(pack_bits(queries), pack_bits(database), k)
    np.testing.assert_array_equal(index, order)
    np.testing.assert_array_equal(distance, np.take_along_axis(all_distances, order, axis=1))
    assert distance.dtype == index.dtype == jnp.int32


def test_top_k_searches_queries_in_blocks_of_bounded_memory(monkeypatch):
    queries, database = pack_bits(random_codes(0, 7, 40)), pack_bits(random_codes(1, 900, 40))
    expected = top_k(queries, database, 6)
    monkeypatch.setattr(hamming, "_BLOCK", 2_000)
    for got, whole in zip(top_k(queries, database, 6), expected, strict=True):
        np.testing.assert_array_equal(got, whole)
    monkeypatch.undo()
    shapes = (jnp.zeros((1_000, 8), jnp.uint8), jnp.zeros((100_000, 8), jnp.uint8))
    search = jax.jit(top_k, static_argnums=2).lower(*shapes, 10).compile()
    assert search.memory_analysis().temp_size_in_bytes < 64 * 2**20  # all distances: 381 MiB
