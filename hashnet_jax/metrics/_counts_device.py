"""Per-distance counts computed with JAX on any device."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped, UInt8

from hashnet_jax.hamming import distances
from hashnet_jax.losses import labels_on_device, similarity
from hashnet_jax.metrics._checks import check_retrieval
from hashnet_jax.metrics._counts import DistanceCounts, split_counts

# Numbers of queries and database codes to compare at once: 2**24 distances take 64 MiB.
_QUERY_BLOCK = 256
_DATABASE_BLOCK = 2**16


def distance_counts(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    labels_q: Shaped[Array | np.ndarray, "Q *C"],
    labels_db: Shaped[Array | np.ndarray, "N *C"],
    *,
    bits: int,
) -> DistanceCounts:
    """Counts the codes at each distance on device; works under ``jax.jit`` with static ``bits``.

    All Q x N distances are held in memory at once. For large inputs, call this function on blocks
    and add or concatenate the counts, as :func:`distance_counts_blocks` does. The padding bits of
    the last byte must be zero, which a traced function cannot check.

    Args:
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``, see
        :func:`hashnet_jax.codes.pack_bits`.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: labels in the same format, ``[N]`` or ``[N, C]``.
      bits: K, the number of bits per code.

    Returns:
      :class:`DistanceCounts` of jax arrays, int32 ``[Q, K+1]``.

    Raises:
      TypeError: if packed codes are not uint8, or class ids are not integers.
      ValueError: if the shapes do not match.

    Examples:
      >>> from hashnet_jax.codes import pack_bits
      >>> codes = pack_bits(jnp.array([[1, 1, 1], [1, 1, -1], [1, 1, 1]]))
      >>> labels = jnp.array([0, 0, 1])
      >>> counts = distance_counts(codes[:1], codes, labels[:1], labels, bits=3)
      >>> counts.relevant, counts.total
      (Array([[1, 1, 0, 0]], dtype=int32), Array([[2, 1, 0, 0]], dtype=int32))
    """
    queries, labels_q = jnp.asarray(packed_queries), labels_on_device("labels_q", labels_q)
    database, labels_db = jnp.asarray(packed_database), labels_on_device("labels_db", labels_db)
    check_retrieval(queries, database, labels_q, labels_db, bits=bits, zero_padding=False)
    distance = distances(queries, database)
    similar = similarity(labels_q, labels_db)
    n_queries = distance.shape[0]
    row = jnp.arange(n_queries, dtype=jnp.int32)[:, None]
    bins = (2 * row + similar) * (bits + 1) + distance
    counts = jnp.bincount(bins.ravel(), length=2 * n_queries * (bits + 1))
    return split_counts(counts.reshape(n_queries, 2, bits + 1))


_jitted_counts = jax.jit(distance_counts, static_argnames="bits")


def distance_counts_blocks(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    labels_q: Shaped[Array | np.ndarray, "Q *C"],
    labels_db: Shaped[Array | np.ndarray, "N *C"],
    *,
    bits: int,
) -> DistanceCounts:
    """Computes :func:`distance_counts` block by block on jax's default device, in bounded memory.

    Args:
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``, see
        :func:`hashnet_jax.codes.pack_bits`.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: labels in the same format, ``[N]`` or ``[N, C]``.
      bits: K, the number of bits per code.

    Returns:
      :class:`DistanceCounts` of NumPy arrays, int32 ``[Q, K+1]``.

    Raises:
      TypeError: if packed codes are not uint8, or class ids are not integers.
      ValueError: if the shapes do not match, or a padding bit of the last byte is set, which
        usually means that ``bits`` is wrong.

    Examples:
      >>> codes = np.array([[0b11100000], [0b11000000], [0b11100000]], np.uint8)
      >>> labels = np.array([0, 0, 1])
      >>> distance_counts_blocks(codes[:1], codes, labels[:1], labels, bits=3).total
      array([[2, 1, 0, 0]], dtype=int32)
    """
    queries, labels_q = jnp.asarray(packed_queries), labels_on_device("labels_q", labels_q)
    database, labels_db = jnp.asarray(packed_database), labels_on_device("labels_db", labels_db)
    check_retrieval(queries, database, labels_q, labels_db, bits=bits, zero_padding=True)
    blocks = []
    for q in range(0, len(queries), _QUERY_BLOCK):
        rows = slice(q, q + _QUERY_BLOCK)
        parts = []
        for n in range(0, len(database), _DATABASE_BLOCK):
            columns = slice(n, n + _DATABASE_BLOCK)
            parts.append(
                _jitted_counts(
                    queries[rows], database[columns], labels_q[rows], labels_db[columns], bits=bits
                )
            )
        blocks.append(jax.device_get(functools.reduce(operator.add, parts)))
    return DistanceCounts.concatenate(blocks)
