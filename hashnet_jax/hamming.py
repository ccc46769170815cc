"""Binary codes as bits: packing, Hamming distances and the nearest codes.

A packed code is uint8 ``[..., ceil(K/8)]``. Bit order is numpy's default (the first code entry
is the most significant bit of the first byte), +1 is a one, and the bits that fill the last byte
are zeros, so that they never add to a distance.
"""

import jax
import jax.numpy as jnp


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
    queries = _check_packed("packed_queries", packed_queries)
    database = _check_packed("packed_database", packed_database)
    if queries.ndim != 2 or database.ndim != 2 or queries.shape[1] != database.shape[1]:
        raise ValueError(
            "packed codes must be [Q, ceil(K/8)] and [N, ceil(K/8)] with the same K, "
            f"got {queries.shape} and {database.shape}."
        )
    differing = jax.lax.population_count(queries[:, None, :] ^ database[None, :, :])
    return jnp.sum(differing, axis=-1, dtype=jnp.int32)


def top_k(packed_queries, packed_database, k):
    """The k nearest codes of each query, ties by the lowest index.

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
    if not 1 <= k <= len(packed_database):
        raise ValueError(f"k must be in 1..N = 1..{len(packed_database)}, got {k}.")
    negative, index = jax.lax.top_k(-distances(packed_queries, packed_database), k)
    return -negative, index


def _check_packed(name, packed):
    packed = jnp.asarray(packed)
    if packed.dtype != jnp.uint8:
        raise TypeError(
            f"{name} must be uint8, got {packed.dtype}: use hamming.pack_bits(codes) first."
        )
    return packed
