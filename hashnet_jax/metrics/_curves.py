"""Retrieval curves, computed from per-distance counts alone.

All functions take :class:`hashnet_jax.metrics.DistanceCounts`. For NumPy arrays, the results are
float64; for jax arrays, they are computed on the arrays' device, optionally under ``jax.jit``.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Integer, Num

from hashnet_jax.codes import check_positive_int
from hashnet_jax.metrics._counts import DistanceCounts, array_namespace, check_counts


class PrecisionRecall(NamedTuple):
    """Precision and recall within Hamming balls of radius 0..K."""

    precision: Float[Array | np.ndarray, " radii"]
    recall: Float[Array | np.ndarray, " radii"]


class WithinRadius(NamedTuple):
    """Precision and recall within one Hamming radius, averaged over queries; scalars.

    Attributes:
      precision: mean precision within the Hamming ball around a query; an empty ball counts as 0.
      recall: mean recall within the ball; a query without relevant codes counts as 0.
      empty_queries: the number of queries with an empty ball.
      queries: Q, the number of queries.
    """

    precision: float | Float[Array, ""]
    recall: float | Float[Array, ""]
    empty_queries: int | Int[Array, ""]
    queries: int


def precision_recall(counts: DistanceCounts) -> PrecisionRecall:
    """Computes precision and recall as a function of the Hamming radius, pooled over queries.

    At radius r, precision is the fraction of (query, code) pairs within r that are relevant, and
    recall is the fraction of relevant pairs that are within r. Neither depends on the order of
    codes, so ties do not matter.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``.

    Returns:
      The curve, :class:`PrecisionRecall` with fields of shape ``[K+1]``. Precision is NaN at radii
      where no query finds any code; recall is NaN if no code is relevant.

    Raises:
      ValueError: if the counts are not ``[Q, K+1]`` with Q >= 1.
      TypeError: if the counts are not integers.

    Examples:
      >>> counts = DistanceCounts(np.array([[1, 0, 1]]), np.array([[1, 1, 2]]))
      >>> precision_recall(counts)
      PrecisionRecall(precision=array([1. , 0.5, 0.5]), recall=array([0.5, 0.5, 1. ]))

    References:
      The script recall_precision.m, widely used since Spectral Hashing, computes the same curve.
      Unlike :func:`within_radius`, the curve pools all pairs, so precision at small radii, where
      many queries find nothing, is not pulled down to 0.
    """
    check_counts(counts)
    xp = array_namespace(counts.total)
    dtype = xp.result_type(float)
    # The number of pairs may overflow int32; float sums incur only a relative rounding error.
    relevant = xp.cumsum(xp.sum(counts.relevant, axis=0, dtype=dtype))
    total = xp.cumsum(xp.sum(counts.total, axis=0, dtype=dtype))
    return PrecisionRecall(
        _ratio(xp, relevant, total, xp.nan), _ratio(xp, relevant, relevant[-1:], xp.nan)
    )


def within_radius(counts: DistanceCounts, *, radius: int = 2) -> WithinRadius:
    """Computes precision and recall within a Hamming radius, as in a hash table lookup.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``.
      radius: Hamming radius in 0..K, conventionally 2. Static under ``jax.jit``.

    Returns:
      A :class:`WithinRadius` with the means over all queries. Codes at distance ``radius`` are
      included.

    Raises:
      ValueError: if the counts are not ``[Q, K+1]`` with Q >= 1, or ``radius`` is not in 0..K.
      TypeError: if the counts or ``radius`` are not integers.

    Examples:
      >>> counts = DistanceCounts(np.array([[1, 0], [0, 1]]), np.array([[2, 0], [0, 2]]))
      >>> within_radius(counts, radius=0)
      WithinRadius(precision=0.25, recall=0.5, empty_queries=1, queries=2)
    """
    check_counts(counts)
    bits = counts.total.shape[1] - 1
    if isinstance(radius, bool) or not isinstance(radius, int | np.integer):
        raise TypeError(f"`radius` must be an int, got {type(radius).__name__} {radius!r}.")
    if not 0 <= radius <= bits:
        raise ValueError(f"`radius` must be in 0..K (K = {bits}), got {radius}.")
    xp = array_namespace(counts.total)
    found = xp.sum(counts.relevant[:, : radius + 1], axis=1)
    in_ball = xp.sum(counts.total[:, : radius + 1], axis=1)
    precision = xp.mean(_ratio(xp, found, in_ball, 0))
    recall = xp.mean(_ratio(xp, found, xp.sum(counts.relevant, axis=1), 0))
    empty = xp.sum(in_ball == 0)
    if xp is np:
        precision, recall, empty = precision.item(), recall.item(), empty.item()
    return WithinRadius(precision, recall, empty, len(counts.total))


def precision_at(
    counts: DistanceCounts, ranks: Sequence[int] | Integer[np.ndarray, " R"]
) -> Float[Array | np.ndarray, " R"]:
    """Computes the precision@N curve: precision of the first N codes, averaged over queries.

    The result is the expectation over all ways of breaking ties: a group of tied codes that
    straddles rank N contributes its number of relevant codes times the fraction of its places that
    are within N.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``.
      ranks: ints N >= 1. If N exceeds the size of the database, the missing places count as misses.

    Returns:
      The precision at each rank, float ``[len(ranks)]``.

    Raises:
      ValueError: if the counts are not ``[Q, K+1]`` with Q >= 1, or a rank is < 1.
      TypeError: if the counts or the ranks are not integers.

    Examples:
      >>> counts = DistanceCounts(np.array([[1, 2]]), np.array([[1, 4]]))
      >>> precision_at(counts, [1, 2, 5])
      array([1.  , 0.75, 0.6 ])
    """
    check_counts(counts)
    for rank in ranks:
        check_positive_int("ranks", rank)
    xp = array_namespace(counts.total)
    before = xp.cumsum(counts.total, axis=1) - counts.total
    # Fraction of relevant codes per group. Multiplied by the group's places within N, it gives the
    # expected number of hits.
    density = _ratio(xp, counts.relevant, counts.total, 0)

    def mean_precision(rank: int | np.integer) -> float | Float[Array, ""]:
        places = xp.clip(rank - before, 0, counts.total)
        return xp.mean(xp.sum(density * places, axis=1)) / rank

    if len(ranks) == 0:
        return xp.zeros(0)
    return xp.stack([mean_precision(rank) for rank in ranks])


def _ratio(
    xp: ModuleType,
    part: Num[Array | np.ndarray, "..."],
    whole: Num[Array | np.ndarray, "..."],
    otherwise: float | int,
) -> Float[Array | np.ndarray, "..."]:
    return xp.where(whole > 0, part / xp.where(whole > 0, whole, 1), otherwise)
