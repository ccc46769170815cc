"""Binary codes as bits: packing, Hamming distances and the nearest codes.

A packed code is uint8 ``[..., ceil(K/8)]``. Bit order is numpy's default (the first code entry
is the most significant bit of the first byte), +1 is a one, and the bits that fill the last byte
are zeros, so that they never add to a distance.
"""

import functools

import jax
import jax.numpy as jnp

# Words compared in one unrolled loop: groups of 64 codes up to 64 bits, fewer of longer codes, at
# least 8: codes of more than 512 bits make the loop longer, and the search slow.
_UNROLLED = 128
# Numbers held at once while searching: 2**22 are 16 MiB.
_BLOCK = 2**22


def pack_bits(codes):
    """Packs binary codes, eight to a byte.

    Args:
      codes: ``[..., K]`` of -1 and +1 (any entry > 0 counts as +1), any K >= 1.

    Returns:
      uint8 ``[..., ceil(K/8)]``.

    Raises:
      ValueError: if ``codes`` is a scalar or has no bits.

    Examples:
      >>> pack_bits(jnp.array([[1, -1, -1, -1, -1, -1, -1, 1, 1]], jnp.int8))
      Array([[129, 128]], dtype=uint8)
    """
    codes = jnp.asarray(codes)
    if codes.ndim == 0 or codes.shape[-1] == 0:
        raise ValueError(f"codes must be [..., K] with K >= 1 bits, got {codes.shape}.")
    return jnp.packbits(codes > 0, axis=-1)


def unpack_bits(packed, bits):
    """The binary codes that :func:`pack_bits` packed.

    Args:
      packed: uint8 ``[..., ceil(K/8)]``.
      bits: K, the number of bits of a code.

    Returns:
      int8 ``[..., K]`` of -1 and +1.

    Raises:
      TypeError: if ``packed`` is not uint8.
      ValueError: if its last axis does not hold ``bits`` bits.

    Examples:
      >>> unpack_bits(jnp.array([[129, 128]], jnp.uint8), 9)
      Array([[ 1, -1, -1, -1, -1, -1, -1,  1,  1]], dtype=int8)
    """
    packed = _check_packed("packed", packed)
    if bits < 1 or packed.shape[-1] != -(-bits // 8):
        raise ValueError(
            f"packed must be [..., ceil(K/8)] = [..., {-(-bits // 8)}] for K = {bits} bits, "
            f"got {packed.shape}."
        )
    ones = jnp.unpackbits(packed, axis=-1, count=bits)
    return (2 * ones.astype(jnp.int8) - 1).astype(jnp.int8)


def distances(packed_queries, packed_database):
    """Hamming distances: the number of bits in which two codes differ.

    Args:
      packed_queries: uint8 ``[Q, ceil(K/8)]``.
      packed_database: uint8 ``[N, ceil(K/8)]``.

    Returns:
      int32 ``[Q, N]`` in 0..K.

    Raises:
      TypeError: if either is not uint8.
      ValueError: if they are not both of rank 2 with the same number of bytes.

    Examples:
      >>> distances(pack_bits(jnp.array([[1, 1, -1]])), pack_bits(jnp.array([[1, -1, 1]])))
      Array([[2]], dtype=int32)
    """
    queries, database = _check_both(packed_queries, packed_database)
    differing = jax.lax.population_count(queries[:, None, :] ^ database[None, :, :])
    return jnp.sum(differing, axis=-1, dtype=jnp.int32)


def top_k(packed_queries, packed_database, k):
    """The k nearest codes of each query, ties by the lowest index.

    Exact, in memory O(Q k + N ceil(K/8)) and a working block of at most 2**22 numbers (more only
    where one query alone needs them: N / 64 and 64 k). Pure; ``k`` is static.

    The database is cut into groups of consecutive codes. A first pass gives the least distance in
    each group; the k groups least by it, ties by position, hold the k nearest codes: a group left
    out has k groups before it, and in each of them a code that comes before all of its own. So
    only those k groups are looked at code by code, and no more than N / 64 numbers are ranked.

    Args:
      packed_queries: uint8 ``[Q, ceil(K/8)]``.
      packed_database: uint8 ``[N, ceil(K/8)]``.
      k: how many, 1..N.

    Returns:
      ``(distance, index)``, both int32 ``[Q, k]``, by increasing distance.

    Raises:
      TypeError, ValueError: as :func:`distances`, and if k is not in 1..N.

    Examples:
      >>> database = pack_bits(jnp.array([[1, 1, 1], [1, 1, -1], [1, 1, 1]]))
      >>> top_k(database[:1], database, 2)
      (Array([[0, 0]], dtype=int32), Array([[0, 2]], dtype=int32))
    """
    queries, database = _check_both(packed_queries, packed_database)
    if not 1 <= k <= len(database):
        raise ValueError(f"k must be in 1..N = 1..{len(database)}, got {k}.")
    return _search(queries, database, k)


@functools.partial(jax.jit, static_argnums=2)
def _search(queries, database, k):
    n = len(database)
    queries, database = _words(queries), _words(database)
    n_words = queries.shape[1]
    group = min(64, max(8, _UNROLLED // n_words))
    n_groups = -(-n // group)
    # Filled with the last code, which leaves the least distance of its group as it is.
    filled = jnp.pad(database, [(0, n_groups * group - n), (0, 0)], mode="edge")
    groups = filled.reshape(n_groups, group, n_words)
    by_place = groups.transpose(1, 2, 0)

    def nearest(query):
        chosen = jnp.arange(n_groups)
        if k < n_groups:
            _, chosen = _smallest(_least_of_groups(query, by_place), k)
            chosen = jnp.sort(chosen)
        index = (chosen[:, None] * group + jnp.arange(group)[None, :]).ravel()
        differing = jax.lax.population_count(groups[chosen] ^ query[None, None, :])
        distance = jnp.sum(differing, axis=-1, dtype=jnp.int32).ravel()
        distance, place = _smallest(jnp.where(index < n, distance, 32 * n_words + 1), k)
        return distance, index[place]

    numbers = n_groups + min(k, n_groups) * group * n_words
    return jax.lax.map(nearest, queries, batch_size=max(1, _BLOCK // numbers))


def _least_of_groups(query, by_place):
    # XOR and population count, the words and the places in a group unrolled: one loop over the
    # groups that a CPU runs in vector registers, 8 times as fast as a reduction over an axis and
    # 4 times as fast as a scan. A float32 product of codes of -1 and +1 in its place was slower on
    # two CPU cores by 18, 11, 6 and 3 times at 32, 64, 128 and 256 bits (100 queries, 20 at a time,
    # in 1,000,000 codes). GPUs have both instructions too. TPUs would rather multiply in their
    # matrix units; neither is measured, so all platforms take this form.
    least = None
    for codes in by_place:
        differing = (
            jax.lax.population_count(codes[w] ^ query[w]) for w in range(by_place.shape[1])
        )
        distance = functools.reduce(jnp.add, differing)
        least = distance if least is None else jnp.minimum(least, distance)
    return least


def _smallest(distance, k):
    # Distances are exact in float32, for which top_k on a CPU is 40 times as fast as for integers.
    negative, place = jax.lax.top_k(-distance.astype(jnp.float32), k)
    return -negative.astype(jnp.int32), place


def _words(packed):
    """uint8 ``[n, bytes]`` as uint32 ``[n, ceil(bytes / 4)]``, filled up with zeros."""
    filled = jnp.pad(packed, [(0, 0), (0, -packed.shape[1] % 4)])
    return jax.lax.bitcast_convert_type(filled.reshape(len(filled), -1, 4), jnp.uint32)


def _check_both(packed_queries, packed_database):
    queries = _check_packed("packed_queries", packed_queries)
    database = _check_packed("packed_database", packed_database)
    if queries.ndim != 2 or database.ndim != 2 or queries.shape[1] != database.shape[1]:
        raise ValueError(
            "packed codes must be [Q, ceil(K/8)] and [N, ceil(K/8)] with the same K, "
            f"got {queries.shape} and {database.shape}."
        )
    return queries, database


def _check_packed(name, packed):
    packed = jnp.asarray(packed)
    if packed.dtype != jnp.uint8:
        raise TypeError(
            f"{name} must be uint8, got {packed.dtype}: use hamming.pack_bits(codes) first."
        )
    return packed
