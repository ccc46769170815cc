"""Average precision of a query over all orders of ties: worst, expected and best, exactly.

A ranking by Hamming distance is a row of groups of ties, and the sum of precision over each group
has a closed form (:mod:`hashnet_jax.ties`). The group that straddles the cut-off R shows only its
first places, and some number h of hits on them; given h it is a group like the others. The divisor
may depend on h (``"hits"``), so the expectation is taken over h, and worst and best are extremised
over h: one more hit at the end of the first R can *lower* the quotient.

References: McSherry and Najork, ECIR 2008, and He, Cakir, Bargal, Sclaroff, "Hashing as Tie-Aware
Learning to Rank", CVPR 2018, give the expectation without a cut-off. The treatment of the group at
the cut-off, of the divisors, and of worst and best is this package's own.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hashnet_jax.counting import DistanceCounts, array_namespace, check_counts
from hashnet_jax.ties import best_sum, expected_sum, harmonic_difference, hits_within, worst_sum

DIVISORS = ("hits", "min", "cutoff")

# Queries handled at once by NumPy: the [queries, window] arrays of the cut-off stay in cache.
_QUERY_BLOCK = 256


class AveragePrecision(NamedTuple):
    """AP@R of each query over the orders of ties; every field is ``[Q]``.

    Attributes:
      worst: the lowest AP over the orders that have a hit within R; 0 if no order has.
      expected: the mean of AP over all orders, equally likely, where an order without a hit has 0.
      best: the highest AP over the orders that have a hit within R; 0 if no order has.
      hit_probability: the share of orders with a hit within R; exactly 0 if no order has one.
      may_miss: bool, whether some order has no hit within R.
    """

    worst: Any
    expected: Any
    best: Any
    hit_probability: Any
    may_miss: Any


def average_precision(counts, *, cutoff=None, divisor="hits"):
    """AP@R of each query: worst, expected and best over the orders of ties, from counts alone.

    ``AP@R = sum_{k <= R} P@k rel_k / divisor``, with P@k the precision of the first k codes and
    rel_k whether the code at rank k is relevant. The expectation is exact, to rounding.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``. NumPy counts are computed in float64,
        the form to report. Counts that are jax arrays are computed on their device, under
        ``jax.jit`` too, in float32 accurate to 1e-6 (N < 2**24).
      cutoff: R >= 1, or ``None`` for the whole database. Static under ``jax.jit``. Beyond the
        size of the database nothing more is found, while the divisor ``"cutoff"`` stays R.
      divisor: ``"hits"`` (the relevant within the first R; this field and the authors' code),
        ``"min"`` (min(R, all relevant)) or ``"cutoff"`` (R).

    Returns:
      :class:`AveragePrecision`, each field ``[Q]``.

    Raises:
      ValueError: for shapes, ``cutoff`` or ``divisor`` out of range.
      TypeError: if the counts or ``cutoff`` are not integers.

    Examples:
      One hit and one miss in a tie: the hit comes first or second.

      >>> result = average_precision(DistanceCounts(np.array([[1, 0]]), np.array([[2, 0]])))
      >>> result.worst, result.expected, result.best
      (array([0.5]), array([0.75]), array([1.]))
    """
    check_counts(counts)
    if divisor not in DIVISORS:
        raise ValueError(f"divisor must be one of {DIVISORS}, got {divisor!r}.")
    if cutoff is not None:
        check_positive_int("cutoff", cutoff)
    if array_namespace(counts.total) is jnp:
        return _average_precision(counts, cutoff, divisor)
    starts = range(0, len(counts.total), _QUERY_BLOCK)
    rows = (slice(start, start + _QUERY_BLOCK) for start in starts)
    blocks = (DistanceCounts(counts.relevant[row], counts.total[row]) for row in rows)
    results = [_average_precision(block, cutoff, divisor) for block in blocks]
    return AveragePrecision(*map(np.concatenate, zip(*results, strict=True)))


def check_positive_int(name, value):
    """Raises unless ``value`` is an int >= 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {type(value).__name__} {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be >= 1, got {value}.")


class _Edge(NamedTuple):
    """The group that straddles R, each ``[Q, 1]`` float; empty where no group does."""

    before: Any  # codes ranked before it
    before_hits: Any  # hits among them
    size: Any  # its codes
    hits: Any  # the relevant among them
    inside: Any  # its places within R
    fewest: Any  # the fewest hits that can fall on these places
    most: Any  # the most


def _average_precision(counts, cutoff, divisor):
    xp = array_namespace(counts.total)
    sums, edge = _split_at_cutoff(counts, cutoff)
    ranks = xp.sum(counts.total, axis=1, keepdims=True) if cutoff is None else cutoff
    relevant = xp.sum(counts.relevant, axis=1, keepdims=True)

    def quotient(total, hits):
        found = edge.before_hits + hits
        by = {"hits": found, "min": xp.minimum(relevant, ranks), "cutoff": ranks}[divisor]
        return xp.where(found > 0, total / xp.maximum(by, 1), 0)  # a query without a hit has 0

    def best(hits):
        return quotient(sums.best + best_sum(edge.before, edge.before_hits, hits), hits)

    def expected(hits):
        group = expected_sum(edge.before, edge.before_hits, edge.inside, hits)
        return quotient(sums.expected + group, hits)

    def worst(hits):
        group = worst_sum(edge.before, edge.before_hits, edge.inside, hits)
        return quotient(sums.worst + group, hits)

    # The fewest hits of an order that has a hit at all, if one can be had.
    fewest = xp.maximum(edge.fewest, xp.where(edge.before_hits > 0, 0, 1))
    fewest = xp.minimum(fewest, edge.most).astype(edge.most.dtype)
    # By Hoeffding's inequality, what lies beyond this reach has a probability below 5e-18.
    reach = 0 if cutoff is None else min(int(cutoff), 1 + math.ceil(4.5 * math.sqrt(cutoff)))
    hits, probabilities = hits_within(edge.size, edge.hits, edge.inside, reach=reach)
    found = edge.before_hits + hits > 0
    lowest = _hits_of_lowest(worst, edge, fewest, cutoff) if divisor == "hits" else fewest
    fields = (
        worst(lowest),
        xp.sum(probabilities * expected(hits), axis=1, keepdims=True),
        # Each further hit adds more to the best sum than the last, so that the quotient falls,
        # then rises with the number of hits: the highest is at an end.
        xp.maximum(best(fewest), best(edge.most)),
        xp.sum(probabilities * found, axis=1, keepdims=True),
        edge.before_hits + edge.fewest == 0,
    )
    return AveragePrecision(*(field[:, 0] for field in fields))


class _Sums(NamedTuple):
    """Sums of P@k rel_k over the groups wholly within R, each ``[Q, 1]``."""

    worst: Any
    expected: Any
    best: Any


def _split_at_cutoff(counts, cutoff):
    xp = array_namespace(counts.total)
    dtype = xp.result_type(float)
    # Ranks are summed as integers: float32 would lose them beyond 2**24 on the way.
    after = xp.cumsum(counts.total, axis=1)
    whole = after <= (after[:, -1:] if cutoff is None else cutoff)
    if xp is np:
        # Groups that no query has within R are left out; on a device their number is not known.
        shown = min(whole.shape[1], 1 + int(whole.sum(axis=1).max()))
        after, whole = after[:, :shown], whole[:, :shown]
    total, relevant = (of[:, : after.shape[1]] for of in (counts.total, counts.relevant))
    before_hits = xp.cumsum(relevant, axis=1).astype(dtype)
    total, relevant = total.astype(dtype), relevant.astype(dtype)
    before, before_hits = after.astype(dtype) - total, before_hits - relevant

    def over_whole(values):
        return xp.sum(xp.where(whole, values, 0), axis=1, keepdims=True)

    sums = _Sums(
        over_whole(worst_sum(before, before_hits, total, relevant)),
        over_whole(expected_sum(before, before_hits, total, relevant)),
        over_whole(best_sum(before, before_hits, relevant)),
    )
    at = xp.minimum(xp.sum(whole, axis=1, keepdims=True), total.shape[1] - 1)
    exists = ~xp.take_along_axis(whole, at, axis=1)
    size = xp.where(exists, xp.take_along_axis(total, at, axis=1), 0)
    hits = xp.where(exists, xp.take_along_axis(relevant, at, axis=1), 0)
    before, before_hits = over_whole(total), over_whole(relevant)
    inside = xp.where(exists, (0 if cutoff is None else cutoff) - before, 0)
    fewest, most = xp.maximum(inside - (size - hits), 0), xp.minimum(inside, hits)
    return sums, _Edge(before, before_hits, size, hits, inside, fewest, most)


def _hits_of_lowest(worst, edge, fewest, cutoff):
    """The number of hits at the cut-off for which the worst AP is lowest, by bisection.

    The worst sum is convex in the number of hits, so that its quotient by all hits falls, then
    rises; one more hit raises it exactly if it adds more to the sum than the quotient is.
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
