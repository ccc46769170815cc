"""Exact average precision over all ways of breaking ties: worst, expected and best.

A ranking by Hamming distance is a sequence of groups of tied codes, and the sum of the precision at
the hits of a group has a closed form (``_ties.py``). If a group straddles the cut-off R, only the
group's first places are within R. Given the number h of hits in these places, the places form
a group like any other. The divisor may depend on h (``"hits"``), so expected AP is an expectation
over h, and worst and best AP are extrema over h. One more hit at the end of the first R ranks can
*lower* AP if it also raises the divisor.

References: McSherry and Najork, ECIR 2008, and He, Cakir, Bargal and Sclaroff, "Hashing as
Tie-Aware Learning to Rank", CVPR 2018, give the expectation without a cut-off. The handling of the
group at the cut-off, the divisors, and worst and best AP are specific to this package.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from hashnet_jax.codes import check_positive_int
from hashnet_jax.metrics._counts import DistanceCounts, array_namespace, check_counts
from hashnet_jax.metrics._groups import Edge, Sums, edge_group, sums_of_whole, tie_groups
from hashnet_jax.metrics._ties import (
    best_sum,
    expected_sum,
    harmonic_difference,
    hits_within,
    worst_sum,
)

DIVISORS = ("hits", "min", "cutoff")

# Queries per block in NumPy, few enough for the [queries, window] arrays to stay in cache.
_QUERY_BLOCK = 256


class AveragePrecision(NamedTuple):
    """AP@R of each query over all orders of tied results; every field has shape ``[Q]``.

    Attributes:
      worst: the lowest AP over all orders with a hit within R; 0 if there are none.
      expected: the mean AP over all orders, weighted equally; an order without a hit has AP 0.
      best: the highest AP over all orders with a hit within R; 0 if there are none.
      hit_probability: the fraction of orders with a hit within R; exactly 0 if there are none.
      may_miss: bool, whether there is an order without a hit within R.
    """

    worst: Float[Array | np.ndarray, " Q"]
    expected: Float[Array | np.ndarray, " Q"]
    best: Float[Array | np.ndarray, " Q"]
    hit_probability: Float[Array | np.ndarray, " Q"]
    may_miss: Bool[Array | np.ndarray, " Q"]


def average_precision(
    counts: DistanceCounts, *, cutoff: int | None = None, divisor: str = "hits"
) -> AveragePrecision:
    """Computes the worst, expected and best AP@R of each query over all ways of breaking ties.

    ``AP@R = sum_{k <= R} P@k rel_k / divisor``, where P@k is the precision of the first k codes,
    and rel_k is 1 if the code at rank k is relevant, else 0. The expectation is exact up to
    rounding.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``. For NumPy arrays, the result is float64
        and suitable for publication. For jax arrays, it is computed on their device
        (optionally under ``jax.jit``) in float32, accurate to 1e-6 if N < 2**24.
      cutoff: R >= 1, or ``None`` for the whole database. Static under ``jax.jit``. If R exceeds
        the database size, the divisor ``"cutoff"`` is still R.
      divisor: ``"hits"`` (the number of relevant codes within the first R, as in the hashing
        literature and the HashNet authors' code), ``"min"`` (the smaller of R and the total number
        of relevant codes) or ``"cutoff"`` (R).

    Returns:
      :class:`AveragePrecision` with fields of shape ``[Q]``.

    Raises:
      ValueError: if a shape, ``cutoff`` or ``divisor`` is invalid.
      TypeError: if the counts or ``cutoff`` are not integers.

    Examples:
      One hit and one miss are tied, so the hit comes first or second.

      >>> result = average_precision(DistanceCounts(np.array([[1, 0]]), np.array([[2, 0]])))
      >>> result.worst, result.expected, result.best
      (array([0.5]), array([0.75]), array([1.]))
    """
    check_counts(counts)
    if divisor not in DIVISORS:
        raise ValueError(f"`divisor` must be one of {DIVISORS}, got {divisor!r}.")
    if cutoff is not None:
        check_positive_int("cutoff", cutoff)
    if array_namespace(counts.total) is jnp:
        return _average_precision(counts, cutoff, divisor)
    starts = range(0, len(counts.total), _QUERY_BLOCK)
    rows = (slice(start, start + _QUERY_BLOCK) for start in starts)
    blocks = (DistanceCounts(counts.relevant[row], counts.total[row]) for row in rows)
    results = [_average_precision(block, cutoff, divisor) for block in blocks]
    return AveragePrecision(*map(np.concatenate, zip(*results, strict=True)))


class _Ranking(NamedTuple):
    """The inputs to AP@R, except the number of hits within R in the group that straddles R."""

    sums: Sums
    edge: Edge
    ranks: int | Integer[Array | np.ndarray, "Q 1"]
    relevant: Integer[Array | np.ndarray, "Q 1"]
    divisor: str

    def worst(self, hits: Float[Array | np.ndarray, "Q h"]) -> Float[Array | np.ndarray, "Q h"]:
        """Returns the lowest AP for each number of hits within R in the group that straddles R."""
        edge = self.edge
        group = worst_sum(edge.before, edge.before_hits, edge.inside, hits)
        return self._quotient(self.sums.worst + group, hits)

    def expected(self, hits: Float[Array | np.ndarray, "Q h"]) -> Float[Array | np.ndarray, "Q h"]:
        """Returns the mean AP for each number of hits within R in the group that straddles R."""
        edge = self.edge
        group = expected_sum(edge.before, edge.before_hits, edge.inside, hits)
        return self._quotient(self.sums.expected + group, hits)

    def best(self, hits: Float[Array | np.ndarray, "Q h"]) -> Float[Array | np.ndarray, "Q h"]:
        """Returns the highest AP for each number of hits within R in the group that straddles R."""
        group = best_sum(self.edge.before, self.edge.before_hits, hits)
        return self._quotient(self.sums.best + group, hits)

    def _quotient(
        self, total: Float[Array | np.ndarray, "Q h"], hits: Float[Array | np.ndarray, "Q h"]
    ) -> Float[Array | np.ndarray, "Q h"]:
        xp = array_namespace(total)
        found = self.edge.before_hits + hits
        divisors = {
            "hits": found,
            "min": xp.minimum(self.relevant, self.ranks),
            "cutoff": self.ranks,
        }
        # A query without a hit has AP 0.
        return xp.where(found > 0, total / xp.maximum(divisors[self.divisor], 1), 0)


def _average_precision(
    counts: DistanceCounts, cutoff: int | None, divisor: str
) -> AveragePrecision:
    xp = array_namespace(counts.total)
    groups = tie_groups(counts, cutoff)
    sums, edge = sums_of_whole(groups), edge_group(groups, cutoff)
    ranks = xp.sum(counts.total, axis=1, keepdims=True) if cutoff is None else cutoff
    relevant = xp.sum(counts.relevant, axis=1, keepdims=True)
    ranking = _Ranking(sums, edge, ranks, relevant, divisor)

    # The smallest number of hits in any order with at least one hit, if there is such an order.
    fewest = xp.maximum(edge.fewest, xp.where(edge.before_hits > 0, 0, 1))
    fewest = xp.minimum(fewest, edge.most).astype(edge.most.dtype)
    # By Hoeffding's inequality, hit counts beyond this reach have probability below 5e-18.
    reach = 0 if cutoff is None else min(int(cutoff), 1 + math.ceil(4.5 * math.sqrt(cutoff)))
    hits, probabilities = hits_within(edge.size, edge.hits, edge.inside, reach=reach)
    found = edge.before_hits + hits > 0
    lowest = _hits_of_lowest(ranking.worst, edge, fewest, cutoff) if divisor == "hits" else fewest
    fields = (
        ranking.worst(lowest),
        xp.sum(probabilities * ranking.expected(hits), axis=1, keepdims=True),
        # Each further hit adds more to the best sum than the one before, so the quotient first
        # falls and then rises with the number of hits. Its maximum is at one of the ends.
        xp.maximum(ranking.best(fewest), ranking.best(edge.most)),
        xp.sum(probabilities * found, axis=1, keepdims=True),
        edge.before_hits + edge.fewest == 0,
    )
    return AveragePrecision(*(field[:, 0] for field in fields))


def _hits_of_lowest(
    worst: Callable[[Float[Array | np.ndarray, "Q 1"]], Float[Array | np.ndarray, "Q 1"]],
    edge: Edge,
    fewest: Float[Array | np.ndarray, "Q 1"],
    cutoff: int | None,
) -> Float[Array | np.ndarray, "Q 1"]:
    """Finds by bisection the number of hits that minimizes AP.

    Only hits within R in the group that straddles R are counted.

    The lowest sum of precision is convex in the number of hits, so dividing it by the total number
    of hits gives a quotient that first falls and then rises. One more hit raises the quotient if
    and only if that hit adds more than the quotient to the sum.
    """
    xp = array_namespace(fewest)
    low, high = fewest, edge.most
    end = edge.before + edge.inside
    for _ in range(0 if cutoff is None else int(cutoff).bit_length()):
        middle = xp.floor((low + high) / 2)
        start = end - middle
        added = (edge.before_hits + 1) / xp.maximum(start, 1) + harmonic_difference(start, end)
        rises = added >= worst(middle)
        low = xp.where(rises, low, xp.minimum(middle + 1, high))
        high = xp.where(rises, middle, high)
    return low
