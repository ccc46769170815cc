"""MAP of rankings by score: the inner product of float vectors, or of a float query and a code.

A search is asymmetric if only the database is binary: queries keep their logits z, and a code b
has the score <z, b>. If queries and database are both normalized features, the score is the cosine
of the two vectors. Codes with equal scores form a group of ties, just like codes at equal Hamming
distances, so the tie-aware metrics need only the numbers of codes and relevant codes per group.
"""

import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int64, Shaped

from hashnet_jax.metrics._average_precision import AveragePrecision, average_precision
from hashnet_jax.metrics._checks import check_label_pair, check_vectors
from hashnet_jax.metrics._counts import DistanceCounts
from hashnet_jax.metrics._mean_average_precision import (
    MeanAveragePrecision,
    check_no_hit,
    mean_over_queries,
)

# Number of scores to compute at once, one per pair of a query and a database vector. Each score
# takes about 200 bytes.
_BLOCK = 2**21


def mean_average_precision_scores(
    queries: Shaped[Array | np.ndarray, "Q K"],
    database: Shaped[Array | np.ndarray, "N K"],
    labels_q: Shaped[Array | np.ndarray, "Q *C"],
    labels_db: Shaped[Array | np.ndarray, "N *C"],
    *,
    cutoff: int | None = None,
    divisor: str = "hits",
    no_hit: str = "zero",
) -> MeanAveragePrecision:
    """Computes MAP@R of the ranking by decreasing score ``<q, x>``, over all ways of breaking ties.

    Scores are computed in float64 and rounded to float32, which removes differences due to the
    order of summation. Therefore, equal vectors always tie, and shuffling the database does not
    change the result. Memory use is O(N), not O(Q N).

    Args:
      queries: float or integer ``[Q, K]``, all finite: logits for asymmetric search, or features.
      database: float or integer ``[N, K]``, all finite: codes of -1 and +1 (not packed), or
        features. The score is the inner product, so normalize features to rank by cosine.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: labels in the same format, ``[N]`` or ``[N, C]``.
      cutoff: R >= 1, or ``None`` for the whole database.
      divisor: divisor of AP, ``"hits"``, ``"min"`` or ``"cutoff"``, see :func:`average_precision`.
      no_hit: treatment of queries without a hit, ``"zero"`` or ``"drop"``, see
        :func:`mean_average_precision`.

    Returns:
      :class:`MeanAveragePrecision` in float64.

    Raises:
      TypeError: if class ids or ``cutoff`` are not integers.
      ValueError: if the shapes do not match, a vector is not finite, or an option is out of range.

    Examples:
      The first two codes tie at Hamming distance 1. The logits show which bit is uncertain.

      >>> logits = np.array([[2.0, 0.1, 1.0]])
      >>> codes = np.array([[1, -1, 1], [-1, 1, 1], [-1, -1, -1]], np.int8)
      >>> result = mean_average_precision_scores(logits, codes, np.array([0]), np.array([0, 1, 1]))
      >>> result.worst, result.best
      (1.0, 1.0)

    Reference: Gordo, Perronnin, Gong, Lazebnik, "Asymmetric Distances for Binary Embeddings", TPAMI
    2014. Their distances use the expected values of bits, but here the score is the inner product.
    """
    check_no_hit(no_hit)
    queries, database = check_vectors(queries, database)
    labels_q, labels_db = np.asarray(labels_q), np.asarray(labels_db)
    check_label_pair(labels_q, labels_db, len(queries), len(database))
    step = max(1, _BLOCK // len(database))
    columns = np.ascontiguousarray(database.T, np.float64)
    blocks = []
    for rows in (slice(start, start + step) for start in range(0, len(queries), step)):
        scores = (queries[rows].astype(np.float64) @ columns).astype(np.float32)
        counts = score_counts(scores, _similar(labels_q[rows], labels_db))
        blocks.append(average_precision(counts, cutoff=cutoff, divisor=divisor))
    ap = AveragePrecision(*map(np.concatenate, zip(*blocks, strict=True)))
    return mean_over_queries(ap, cutoff=cutoff, divisor=divisor, no_hit=no_hit)


def score_counts(
    scores: Float32[np.ndarray, "Q N"], similar: Bool[np.ndarray, "Q N"]
) -> DistanceCounts:
    """Counts the codes with each distinct score, from the highest to the lowest.

    Successive scores that only irrelevant codes have are merged into one entry, because rank-based
    metrics do not depend on the order of irrelevant codes. Shorter rows are padded with zeros.

    Args:
      scores: score of each database vector for each query, float32 ``[Q, N]``.
      similar: bool ``[Q, N]``, whether a code is relevant to a query.

    Returns:
      :class:`DistanceCounts` of NumPy arrays, ``[Q, groups]`` with at most N groups.

    Examples:
      >>> scores = np.array([[3, 1, 2, 3]], np.float32)
      >>> counts = score_counts(scores, np.array([[True, False, False, False]]))
      >>> counts.relevant, counts.total
      (array([[1, 0]], dtype=int32), array([[2, 2]], dtype=int32))
    """
    n_queries, n = scores.shape
    keys = np.sort(_keys(scores, similar), axis=1)
    rank, relevant = keys >> 1, (keys & 1 == 0)
    starts = np.ones((n_queries, n), bool)
    starts[:, 1:] = rank[:, 1:] != rank[:, :-1]
    # Relevant codes come first within a group, so its first code shows whether there are any.
    first = np.flatnonzero(starts)
    has_hit = relevant.ravel()[first]
    separate = has_hit | (first % n == 0)
    separate[1:] |= has_hit[:-1]
    first = first[separate]
    total = np.diff(first, append=starts.size)
    hits = np.add.reduceat(relevant.ravel(), first, dtype=np.int32)
    return _rectangle(first // n, hits, total, n_queries)


def _rectangle(
    row: Int64[np.ndarray, " groups"],
    hits: Shaped[np.ndarray, " groups"],
    total: Shaped[np.ndarray, " groups"],
    n_queries: int,
) -> DistanceCounts:
    """Arranges groups, which must be sorted by query, into one row per query."""
    groups_per_query = np.bincount(row, minlength=n_queries)
    place = np.arange(len(row)) - np.repeat(
        np.cumsum(groups_per_query) - groups_per_query, groups_per_query
    )
    counts = np.zeros((2, n_queries, groups_per_query.max()), np.int32)
    counts[0, row, place], counts[1, row, place] = hits, total
    return DistanceCounts(counts[0], counts[1])


def _keys(
    scores: Float32[np.ndarray, "Q N"], similar: Bool[np.ndarray, "Q N"]
) -> Int64[np.ndarray, "Q N"]:
    """Returns integer sort keys: higher scores come first, and relevant codes come first in ties.

    Sorting integers is 4 times as fast as sorting floats. Read as integers, the bits of floats with
    the same sign increase with the magnitude. The last bit of a key is 0 for relevant codes.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # -0 becomes 0
    ascending = np.where(bits < 0, bits ^ np.int32(2**31 - 1), bits)
    return 2 * (~ascending).astype(np.int64) + ~similar


def _similar(
    labels_q: Shaped[np.ndarray, "Q *C"], labels_db: Shaped[np.ndarray, "N *C"]
) -> Bool[np.ndarray, "Q N"]:
    """Returns, for each query and database vector, whether they share a label."""
    if labels_q.ndim == 1:
        return labels_q[:, None] == labels_db[None, :]
    shared: Float[np.ndarray, "Q N"] = labels_q.astype(np.float32) @ labels_db.T.astype(np.float32)
    return shared > 0
