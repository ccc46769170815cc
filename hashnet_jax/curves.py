"""Curves of a retrieval evaluation, from per-distance counts alone.

All take :class:`hashnet_jax.counting.DistanceCounts`: NumPy counts are computed in float64, jax
arrays on their device, under ``jax.jit`` too.
"""

from typing import Any, NamedTuple

import numpy as np

from hashnet_jax.average_precision import check_positive_int
from hashnet_jax.counting import array_namespace, check_counts


class PrecisionRecall(NamedTuple):
    """Precision and recall of the Hamming balls of radius 0..K, each float ``[K+1]``."""

    precision: Any
    recall: Any


class WithinRadius(NamedTuple):
    """Precision and recall within one Hamming radius, as means over queries; scalars.

    Attributes:
      precision: mean over queries of the precision in the ball; an empty ball counts 0.
      recall: mean over queries of the recall; a query without a relevant code counts 0.
      empty_queries: how many queries have nothing in the ball.
      queries: Q.
    """

    precision: Any
    recall: Any
    empty_queries: Any
    queries: int


def precision_recall(counts):
    """The precision–recall curve over Hamming radii, of all pairs of query and code together.

    At radius r, precision is the relevant pairs within r over all pairs within r, and recall the
    relevant pairs within r over all relevant pairs: a ball is a set, so ties do not matter.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``.

    Returns:
      :class:`PrecisionRecall`, each ``[K+1]``. Precision is NaN at radii within which no query
      finds anything, recall is NaN if nothing is relevant.

    Raises:
      ValueError, TypeError: if counts are not integer ``[Q, K+1]``.

    Examples:
      >>> from hashnet_jax.counting import DistanceCounts
      >>> counts = DistanceCounts(np.array([[1, 0, 1]]), np.array([[1, 1, 2]]))
      >>> precision_recall(counts)
      PrecisionRecall(precision=array([1. , 0.5, 0.5]), recall=array([0.5, 0.5, 1. ]))

    References:
      The curve of recall_precision.m, used by the field since Spectral Hashing. Pooled, unlike
      :func:`within_radius`, so that small radii, where many queries find nothing, are not drawn
      down to 0.
    """
    check_counts(counts)
    xp = array_namespace(counts.total)
    dtype = xp.result_type(float)
    # Pairs may be more than an int32 holds; sums of floats lose a relative rounding only.
    relevant = xp.cumsum(xp.sum(counts.relevant, axis=0, dtype=dtype))
    total = xp.cumsum(xp.sum(counts.total, axis=0, dtype=dtype))
    return PrecisionRecall(
        _ratio(xp, relevant, total, xp.nan), _ratio(xp, relevant, relevant[-1:], xp.nan)
    )


def within_radius(counts, *, radius=2):
    """Precision and recall within a Hamming radius, 2 by custom: what a hash table lookup returns.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``.
      radius: in 0..K. Static under ``jax.jit``.

    Returns:
      :class:`WithinRadius`; codes at distance ``radius`` are in the ball.

    Raises:
      ValueError, TypeError: if counts are not integer ``[Q, K+1]`` or ``radius`` not in 0..K.

    Examples:
      >>> from hashnet_jax.counting import DistanceCounts
      >>> counts = DistanceCounts(np.array([[1, 0], [0, 1]]), np.array([[2, 0], [0, 2]]))
      >>> within_radius(counts, radius=0)
      WithinRadius(precision=0.25, recall=0.5, empty_queries=1, queries=2)
    """
    check_counts(counts)
    bits = counts.total.shape[1] - 1
    if not 0 <= radius <= bits:
        raise ValueError(f"radius must be in 0..K = 0..{bits}, got {radius}.")
    xp = array_namespace(counts.total)
    found = xp.sum(counts.relevant[:, : radius + 1], axis=1)
    in_ball = xp.sum(counts.total[:, : radius + 1], axis=1)
    fields = (
        xp.mean(_ratio(xp, found, in_ball, 0)),
        xp.mean(_ratio(xp, found, xp.sum(counts.relevant, axis=1), 0)),
        xp.sum(in_ball == 0),
    )
    if xp is np:
        fields = tuple(field.item() for field in fields)
    return WithinRadius(*fields, len(counts.total))


def precision_at(counts, ranks):
    """The precision@N curve: the mean over queries of the precision of the first N codes.

    Its expectation over the orders of ties: of a group that straddles rank N, the share of its
    places within N times its relevant codes are found.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``.
      ranks: ints N >= 1. Beyond the size of the database the missing places count as misses.

    Returns:
      float ``[len(ranks)]``.

    Raises:
      ValueError, TypeError: if counts are not integer ``[Q, K+1]`` or ranks not ints >= 1.

    Examples:
      >>> from hashnet_jax.counting import DistanceCounts
      >>> counts = DistanceCounts(np.array([[1, 2]]), np.array([[1, 4]]))
      >>> precision_at(counts, [1, 2, 5])
      array([1.  , 0.75, 0.6 ])
    """
    check_counts(counts)
    for rank in ranks:
        check_positive_int("each rank", rank)
    xp = array_namespace(counts.total)
    before = xp.cumsum(counts.total, axis=1) - counts.total
    # The relevant share of each group; its places within N then add up to the expected hits.
    density = _ratio(xp, counts.relevant, counts.total, 0)

    def at(rank):
        places = xp.clip(rank - before, 0, counts.total)
        return xp.mean(xp.sum(density * places, axis=1)) / rank

    return xp.stack([at(rank) for rank in ranks])


def _ratio(xp, part, whole, otherwise):
    return xp.where(whole > 0, part / xp.where(whole > 0, whole, 1), otherwise)
