"""Hamming distances between packed codes, and exact nearest-neighbor search."""

import functools
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, UInt8, UInt32

from hashnet_jax.codes import check_packed, check_positive_int
from hashnet_jax.hamming import _bit_slices

# Words compared per unrolled loop. A group contains 64 codes of up to 64 bits, or fewer codes if
# they are longer (at least 8). Beyond 512 bits, the loop gets longer and the search slower.
_UNROLLED_WORDS = 128

# On a CPU without a vector population count, the first pass uses bit slices if there are enough
# queries to make up for transposing the codes, and if these are short enough for XLA to keep the
# adder in one loop that vectorizes.
_SLICES_FROM = 64
_SLICES_UP_TO = 128

# Working set of a search, in 4-byte elements (16 MiB).
_WORKING_SET = 2**22


def distances(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
) -> Int32[Array, "Q N"]:
    """Computes Hamming distances, the numbers of bits in which codes differ.

    Args:
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``, see
        :func:`hashnet_jax.codes.pack_bits`.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.

    Returns:
      The distances, int32 ``[Q, N]`` in 0..K.

    Raises:
      TypeError: if either array is not uint8.
      ValueError: if an array is not 2-D or has no columns, or the numbers of columns differ.

    Examples:
      >>> from hashnet_jax.codes import pack_bits
      >>> distances(pack_bits(jnp.array([[1, 1, -1]])), pack_bits(jnp.array([[1, -1, 1]])))
      Array([[2]], dtype=int32)
    """
    queries, database = _checked(packed_queries, packed_database)
    differing = jax.lax.population_count(queries[:, None, :] ^ database[None, :, :])
    return jnp.sum(differing, axis=-1, dtype=jnp.int32)


def top_k(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    k: int,
) -> tuple[Int32[Array, "Q {k}"], Int32[Array, "Q {k}"]]:
    """Finds the k nearest codes for each query, with ties ordered by index.

    The search is exact, the function is pure, and ``k`` is static. Memory is O(Q k + N ceil(K/8))
    plus a working set of at most 2**22 elements, unless a single query needs more (N / 64 minima
    and 64 * k codes).

    The database is split into groups of consecutive codes. A first pass computes the smallest
    distance in each group. The k groups with the smallest minima, ties broken by position, contain
    the k nearest codes: each of these groups has a code that ranks ahead of every code in any
    other group.
    Only these k groups are searched code by code, and the first pass ranks only one element per
    group (N / 64 elements for codes of up to 64 bits). On a CPU without a vector population
    count, the first pass of a search for many queries works on transposed bits, in groups of 32.

    Args:
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``; Q may be 0.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.
      k: the number of neighbors, in 1..N.

    Returns:
      ``(distance, index)``, both int32 ``[Q, k]``, in order of increasing distance.

    Raises:
      TypeError: if either array is not uint8, or ``k`` is not an int.
      ValueError: if an array is not 2-D or has no columns, the arrays have different numbers of
        columns, or ``k`` is not in 1..N.

    Examples:
      >>> from hashnet_jax.codes import pack_bits
      >>> database = pack_bits(jnp.array([[1, 1, 1], [1, 1, -1], [1, 1, 1]]))
      >>> top_k(database[:1], database, 2)
      (Array([[0, 0]], dtype=int32), Array([[0, 2]], dtype=int32))
    """
    queries, database = _checked(packed_queries, packed_database)
    check_positive_int("k", k)
    if k > len(database):
        raise ValueError(
            f"`k` must be in 1..N = 1..{len(database)}, got {k}. Lower `k` or search a larger "
            "database."
        )
    if len(queries) == 0:
        return jnp.zeros((0, k), jnp.int32), jnp.zeros((0, k), jnp.int32)
    return _search(queries, database, k)


@functools.partial(jax.jit, static_argnums=2)
def _search(
    queries: UInt8[Array, "Q bytes"], database: UInt8[Array, "N bytes"], k: int
) -> tuple[Int32[Array, "Q {k}"], Int32[Array, "Q {k}"]]:
    query_words, database_words = _words(queries), _words(database)
    bits = 8 * queries.shape[1]

    by_slices = functools.partial(_search_slices, bits=bits, k=k)
    by_words = functools.partial(_search_words, k=k)
    is_sliced = len(queries) >= _SLICES_FROM and bits <= _SLICES_UP_TO
    if not is_sliced or _has_vector_popcount():
        return by_words(query_words, database_words)
    return jax.lax.platform_dependent(query_words, database_words, cpu=by_slices, default=by_words)


@functools.cache
def _has_vector_popcount() -> bool:
    """Returns whether this processor counts the ones of many words in one instruction."""
    if platform.machine().lower() in {"aarch64", "arm64"}:
        return True
    try:
        return "avx512_vpopcntdq" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return False


def _search_words(
    queries: UInt32[Array, "Q W"], database: UInt32[Array, "N W"], k: int
) -> tuple[Int32[Array, "Q {k}"], Int32[Array, "Q {k}"]]:
    """Searches with a first pass by population count."""
    n_words = queries.shape[1]
    group = min(64, max(8, _UNROLLED_WORDS // n_words))
    groups = _groups(database, group)
    by_place = groups.transpose(1, 2, 0)

    def nearest(query: UInt32[Array, " W"]) -> tuple[Int32[Array, " k"], Int32[Array, " k"]]:
        return _nearest(query, _smallest_per_group(query, by_place), groups, len(database), k)

    return jax.lax.map(nearest, queries, batch_size=_queries_at_a_time(groups, k))


def _search_slices(
    queries: UInt32[Array, "Q W"], database: UInt32[Array, "N W"], *, bits: int, k: int
) -> tuple[Int32[Array, "Q {k}"], Int32[Array, "Q {k}"]]:
    """Searches with a first pass over bit slices."""
    groups = _groups(database, _bit_slices.GROUP)
    tiles = _bit_slices.slice_bits(groups, bits)
    number = min(len(queries), _queries_at_a_time(groups, k))
    n_batches = -(-len(queries) // number)

    def nearest(
        batch: UInt32[Array, "q W"],
    ) -> tuple[Int32[Array, "q k"], Int32[Array, "q k"]]:
        by_tile = _bit_slices.smallest_per_group(batch, tiles)
        smallest = by_tile.transpose(1, 0, 2).reshape(number, -1)[:, : len(groups)]
        search = functools.partial(_nearest, groups=groups, n=len(database), k=k)
        return jax.vmap(search)(batch, smallest)

    padded = jnp.pad(queries, [(0, n_batches * number - len(queries)), (0, 0)])
    found = jax.lax.map(nearest, padded.reshape(n_batches, number, -1))
    distance, index = (part.reshape(-1, k)[: len(queries)] for part in found)
    return distance, index


def _queries_at_a_time(groups: UInt32[Array, "groups group W"], k: int) -> int:
    """Returns the number of queries whose working set fits in the limit, at least 1."""
    n_groups, group, n_words = groups.shape
    return max(1, _WORKING_SET // (n_groups + min(k, n_groups) * group * n_words))


def _nearest(
    query: UInt32[Array, " W"],
    smallest: UInt32[Array, " groups"],
    groups: UInt32[Array, "groups group W"],
    n: int,
    k: int,
) -> tuple[Int32[Array, " {k}"], Int32[Array, " {k}"]]:
    """Searches the k groups with the smallest minima for the k nearest of the n codes."""
    n_groups, group, n_words = groups.shape
    chosen = jnp.arange(n_groups)
    if k < n_groups:
        _, chosen = _smallest(smallest, k)
        chosen = jnp.sort(chosen)
    index = (chosen[:, None] * group + jnp.arange(group)[None, :]).ravel()
    differing = jax.lax.population_count(groups[chosen] ^ query[None, None, :])
    distance = jnp.sum(differing, axis=-1, dtype=jnp.int32).ravel()
    distance, place = _smallest(jnp.where(index < n, distance, 32 * n_words + 1), k)
    return distance, index[place]


def _groups(words: UInt32[Array, "N W"], group: int) -> UInt32[Array, "groups {group} W"]:
    """Splits the codes into groups of consecutive codes.

    The last group is padded with copies of its last code, which do not change its minimum distance.
    """
    n, n_words = words.shape
    n_groups = -(-n // group)
    padded = jnp.pad(words, [(0, n_groups * group - n), (0, 0)], mode="edge")
    return padded.reshape(n_groups, group, n_words)


def _smallest_per_group(
    query: UInt32[Array, " W"], by_place: UInt32[Array, "group W groups"]
) -> UInt32[Array, " groups"]:
    # XOR and population count, unrolled over words and places in a group. This leaves one loop over
    # the groups, which vectorizes on a CPU and is 8 times as fast as a reduction over an axis and 4
    # times as fast as a scan. A float32 matrix product of -1/+1 codes was 18, 11, 6 and 3 times
    # slower on two CPU cores at 32, 64, 128 and 256 bits (100 queries, 20 at a time, 1,000,000
    # codes). GPUs have both instructions too; TPUs would do better with their matrix units. Neither
    # has been measured, so all platforms use this implementation.
    return functools.reduce(
        jnp.minimum,
        (
            functools.reduce(
                jnp.add,
                (jax.lax.population_count(codes[w] ^ query[w]) for w in range(len(query))),
            )
            for codes in by_place
        ),
    )


def _smallest(
    distance: Int[Array, " n"] | UInt32[Array, " n"], k: int
) -> tuple[Int32[Array, " {k}"], Int32[Array, " {k}"]]:
    # Distances are exact in float32, and top_k on a CPU is 40 times as fast for floats as for ints.
    negative, place = jax.lax.top_k(-distance.astype(jnp.float32), k)
    return -negative.astype(jnp.int32), place


def _words(packed: UInt8[Array, "n bytes"]) -> UInt32[Array, "n W"]:
    """Converts codes to 32-bit words, zero-padded."""
    padded = jnp.pad(packed, [(0, 0), (0, -packed.shape[1] % 4)])
    return jax.lax.bitcast_convert_type(padded.reshape(len(padded), -1, 4), jnp.uint32)


def _checked(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
) -> tuple[UInt8[Array, "Q bytes"], UInt8[Array, "N bytes"]]:
    queries, database = jnp.asarray(packed_queries), jnp.asarray(packed_database)
    check_packed("packed_queries", queries)
    check_packed("packed_database", database)
    if queries.ndim != 2 or queries.shape[1:] != database.shape[1:] or queries.shape[1] == 0:
        raise ValueError(
            "`packed_queries` and `packed_database` must be [Q, ceil(K/8)] and [N, ceil(K/8)] with "
            f"the same K >= 1, but got {queries.shape} and {database.shape}."
        )
    return queries, database
