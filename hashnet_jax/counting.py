"""Per-distance counts: all that a retrieval metric needs to know of a ranking by Hamming distance.

Hamming distance has only K + 1 values, so the ranking of N codes for one query is described, up
to the order of ties, by two histograms: how many codes lie at each distance, and how many of them
are relevant. Every metric of this package is a function of these counts. They need no sort, do not
change when the database is shuffled, and take Q (K + 1) numbers instead of Q N.

An image of the database is relevant to a query if the two share at least one label.
"""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np

from hashnet_jax import hamming, losses

# Pairs counted at once on a device: 2**24 distances are 64 MiB.
_QUERY_BLOCK, _DATABASE_BLOCK = 256, 2**16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DistanceCounts:
    """Codes of the database by their distance from each query; a pytree.

    The counts of two parts of a database add (``a + b``); the counts of blocks of queries
    concatenate (:meth:`concatenate`).

    Attributes:
      relevant: int32 ``[Q, K+1]``: relevant codes at distance 0..K.
      total: int32 ``[Q, K+1]``: all codes at distance 0..K.

    Examples:
      >>> near = DistanceCounts(np.array([[1, 0]], np.int32), np.array([[1, 1]], np.int32))
      >>> (near + near).total
      array([[2, 2]], dtype=int32)
      >>> DistanceCounts.concatenate([near, near]).relevant.shape
      (2, 2)
    """

    relevant: np.ndarray | jax.Array
    total: np.ndarray | jax.Array

    def __add__(self, other):
        return DistanceCounts(self.relevant + other.relevant, self.total + other.total)

    @staticmethod
    def concatenate(blocks):
        """The counts of blocks of queries, as the counts of all of them in order."""
        blocks = list(blocks)
        xp = array_namespace(blocks[0].total)
        return DistanceCounts(
            xp.concatenate([block.relevant for block in blocks]),
            xp.concatenate([block.total for block in blocks]),
        )


def distance_counts(packed_queries, packed_database, labels_q, labels_db, *, bits):
    """Counts codes by distance, on device; pure, works under ``jax.jit`` (``bits`` static).

    It holds all Q N distances at once: give it blocks, and add or concatenate the counts, as
    :func:`distance_counts_blocks` does. The bits that fill the last byte must be zeros,
    which a traced function cannot check.

    Args:
      packed_queries: uint8 ``[Q, ceil(K/8)]``, see :func:`hashnet_jax.hamming.pack_bits`.
      packed_database: uint8 ``[N, ceil(K/8)]``.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: the same form, ``[N]`` or ``[N, C]``.
      bits: K, the number of bits of a code.

    Returns:
      :class:`DistanceCounts` of jax arrays, int32 ``[Q, K+1]``.

    Raises:
      TypeError: if packed codes are not uint8 or class ids not integers.
      ValueError: if shapes do not fit together.

    Examples:
      >>> codes = hamming.pack_bits(jnp.array([[1, 1, 1], [1, 1, -1], [1, 1, 1]]))
      >>> labels = jnp.array([0, 0, 1])
      >>> counts = distance_counts(codes[:1], codes, labels[:1], labels, bits=3)
      >>> counts.relevant, counts.total
      (Array([[1, 1, 0, 0]], dtype=int32), Array([[2, 1, 0, 0]], dtype=int32))
    """
    check_pairs(packed_queries, packed_database, labels_q, labels_db, bits)
    distance = hamming.distances(packed_queries, packed_database)
    similar = losses.similarity(labels_q, labels_db)
    queries = distance.shape[0]
    row = jnp.arange(queries, dtype=jnp.int32)[:, None]
    bins = (2 * row + similar) * (bits + 1) + distance
    counts = jnp.bincount(bins.ravel(), length=2 * queries * (bits + 1))
    return split_counts(counts.reshape(queries, 2, bits + 1))


_jitted_counts = jax.jit(distance_counts, static_argnames="bits")


def distance_counts_blocks(packed_queries, packed_database, labels_q, labels_db, *, bits):
    """:func:`distance_counts` of any numbers of codes, on jax's default device block by block.

    Args:
      packed_queries, packed_database, labels_q, labels_db, bits: as :func:`distance_counts`.

    Returns:
      :class:`DistanceCounts` of NumPy arrays, int32 ``[Q, K+1]``.

    Raises:
      TypeError, ValueError: as :func:`distance_counts`, and if the bits that fill the last byte
        are not zeros, as with a wrong ``bits``.
    """
    queries = [jnp.asarray(array) for array in (packed_queries, labels_q)]
    database = [jnp.asarray(array) for array in (packed_database, labels_db)]
    check_pairs(queries[0], database[0], queries[1], database[1], bits)
    check_filling(queries[0], database[0], bits)
    blocks = []
    for q in range(0, len(queries[0]), _QUERY_BLOCK):
        codes_q, of_q = (array[q : q + _QUERY_BLOCK] for array in queries)
        parts = []
        for n in range(0, len(database[0]), _DATABASE_BLOCK):
            codes_db, of_db = (array[n : n + _DATABASE_BLOCK] for array in database)
            parts.append(_jitted_counts(codes_q, codes_db, of_q, of_db, bits=bits))
        blocks.append(jax.device_get(functools.reduce(operator.add, parts)))
    return DistanceCounts.concatenate(blocks)


def array_namespace(array):
    """``jax.numpy`` for a jax array (traced ones, too), else ``numpy``.

    Every metric is written once and takes its arithmetic from here: float64 for NumPy counts, the
    form to report, and jax's default float (float32) for counts on a device.
    """
    return jnp if isinstance(array, jax.Array) else np


def check_counts(counts):
    """Raises unless ``counts`` are integer ``[Q, K+1]`` arrays of one shape with Q >= 1."""
    relevant, total = np.shape(counts.relevant), np.shape(counts.total)
    if len(relevant) != 2 or relevant != total or 0 in relevant:
        raise ValueError(
            "counts.relevant and counts.total must both be [Q, K+1] with at least one query, got "
            f"{relevant} and {total}."
        )
    for name in ("relevant", "total"):
        dtype = getattr(counts, name).dtype
        if not jnp.issubdtype(dtype, jnp.integer):
            raise TypeError(f"counts.{name} must be integers, got {dtype}: they are counts.")


def split_counts(counts):
    """int32 ``[Q, 2, K+1]``, irrelevant and relevant codes, as :class:`DistanceCounts`."""
    return DistanceCounts(relevant=counts[:, 1], total=counts.sum(axis=1, dtype=np.int32))


def check_packed(name, packed, bits):
    """Raises unless ``packed`` is uint8 ``[codes, ceil(bits/8)]``."""
    if packed.dtype != np.uint8:
        raise TypeError(
            f"{name} must be uint8, got {packed.dtype}: use hamming.pack_bits(codes) first."
        )
    if bits < 1 or packed.ndim != 2 or packed.shape[1] != -(-bits // 8):
        raise ValueError(
            f"{name} must be [codes, ceil(K/8)] = [codes, {-(-bits // 8)}] for K = {bits} bits, "
            f"got {packed.shape}."
        )


def check_filling(packed_queries, packed_database, bits):
    """Raises if bits beyond ``bits`` are set, which would count beyond distance K. Host only."""
    filling = 0xFF >> ((bits - 1) % 8 + 1)
    for name, packed in (("packed_queries", packed_queries), ("packed_database", packed_database)):
        if (packed[:, -1] & filling).any():
            raise ValueError(
                f"the bits of {name} beyond K = {bits} must be zeros, as hamming.pack_bits fills "
                "them: is bits the number that was packed?"
            )


def check_pairs(packed_queries, packed_database, labels_q, labels_db, bits):
    """Raises unless these are arrays of packed codes with their labels, of shapes that fit."""
    check_packed("packed_queries", packed_queries, bits)
    check_packed("packed_database", packed_database, bits)
    if 0 in (len(packed_queries), len(packed_database)):
        raise ValueError(
            "there must be at least one query and one code in the database, got "
            f"{len(packed_queries)} and {len(packed_database)}."
        )
    for name, labels, packed in (
        ("labels_q", labels_q, packed_queries),
        ("labels_db", labels_db, packed_database),
    ):
        if labels.ndim not in (1, 2) or len(labels) != len(packed) or 0 in labels.shape[1:]:
            raise ValueError(
                f"{name} must be class ids [{len(packed)}] or multi-hot [{len(packed)}, C], one "
                f"row for each code, got {labels.shape}."
            )
        if labels.ndim == 1 and not jnp.issubdtype(labels.dtype, jnp.integer):
            raise TypeError(
                f"{name} must be integers when they are class ids, got {labels.dtype}: use "
                "labels.astype(int), or multi-hot labels [N, C]."
            )
    if labels_q.shape[1:] != labels_db.shape[1:]:
        raise ValueError(
            "labels_q and labels_db must both be class ids, or both multi-hot with the same "
            f"number of classes C, got {labels_q.shape} and {labels_db.shape}."
        )
