"""Groups of tied codes in a ranking: those within rank R, and the one that straddles R."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from hashnet_jax.metrics._counts import DistanceCounts, array_namespace
from hashnet_jax.metrics._ties import best_sum, expected_sum, worst_sum


class Groups(NamedTuple):
    """Groups of tied codes in order of distance; each field has shape ``[Q, groups]``."""

    before: Float[Array | np.ndarray, "Q groups"]
    """Number of codes ranked before the group."""
    before_hits: Float[Array | np.ndarray, "Q groups"]
    """Number of hits before the group."""
    size: Float[Array | np.ndarray, "Q groups"]
    """Number of codes in the group."""
    hits: Float[Array | np.ndarray, "Q groups"]
    """Number of relevant codes in the group."""
    whole: Bool[Array | np.ndarray, "Q groups"]
    """Whether the group lies entirely within R."""

    def sum_over_whole(
        self, values: Float[Array | np.ndarray, "Q groups"]
    ) -> Float[Array | np.ndarray, "Q 1"]:
        """Sums ``values`` over the groups that lie entirely within the first R ranks."""
        xp = array_namespace(values)
        return xp.sum(xp.where(self.whole, values, 0), axis=1, keepdims=True)


class Edge(NamedTuple):
    """The group that straddles rank R, or an empty group if there is none.

    Each field has shape ``[Q, 1]``.
    """

    before: Float[Array | np.ndarray, "Q 1"]
    """Number of codes ranked before the group."""
    before_hits: Float[Array | np.ndarray, "Q 1"]
    """Number of hits before the group."""
    size: Float[Array | np.ndarray, "Q 1"]
    """Number of codes in the group."""
    hits: Float[Array | np.ndarray, "Q 1"]
    """Number of relevant codes in the group."""
    inside: Float[Array | np.ndarray, "Q 1"]
    """Number of the group's places within R."""
    fewest: Float[Array | np.ndarray, "Q 1"]
    """The minimum number of hits in these places."""
    most: Float[Array | np.ndarray, "Q 1"]
    """The maximum number of hits in these places."""


class Sums(NamedTuple):
    """Sums of P@k rel_k (see average_precision) over the groups entirely within rank R."""

    worst: Float[Array | np.ndarray, "Q 1"]
    expected: Float[Array | np.ndarray, "Q 1"]
    best: Float[Array | np.ndarray, "Q 1"]


def tie_groups(counts: DistanceCounts, cutoff: int | None) -> Groups:
    """Returns the groups of tied codes for each query, with counts as floats."""
    xp = array_namespace(counts.total)
    dtype = xp.result_type(float)
    # Sum ranks as integers, since running sums in float32 would be inexact beyond 2**24.
    after = xp.cumsum(counts.total, axis=1)
    whole = after <= (after[:, -1:] if cutoff is None else cutoff)
    if xp is np:
        # Drop groups that are beyond R for every query. On device, their number would be dynamic.
        shown = min(whole.shape[1], 1 + int(whole.sum(axis=1).max()))
        after, whole = after[:, :shown], whole[:, :shown]
    total, relevant = (array[:, : after.shape[1]] for array in (counts.total, counts.relevant))
    before_hits = xp.cumsum(relevant, axis=1).astype(dtype)
    size, hits = total.astype(dtype), relevant.astype(dtype)
    before, before_hits = after.astype(dtype) - size, before_hits - hits
    return Groups(before, before_hits, size, hits, whole)


def sums_of_whole(groups: Groups) -> Sums:
    """Returns the sums of P@k rel_k over the groups that lie entirely within R."""
    before, before_hits, size, hits, _ = groups
    return Sums(
        worst=groups.sum_over_whole(worst_sum(before, before_hits, size, hits)),
        expected=groups.sum_over_whole(expected_sum(before, before_hits, size, hits)),
        best=groups.sum_over_whole(best_sum(before, before_hits, hits)),
    )


def edge_group(groups: Groups, cutoff: int | None) -> Edge:
    """Returns the group that straddles rank R, or an empty group if there is none."""
    xp = array_namespace(groups.size)
    whole = groups.whole
    at = xp.minimum(xp.sum(whole, axis=1, keepdims=True), groups.size.shape[1] - 1)
    exists = ~xp.take_along_axis(whole, at, axis=1)
    size = xp.where(exists, xp.take_along_axis(groups.size, at, axis=1), 0)
    hits = xp.where(exists, xp.take_along_axis(groups.hits, at, axis=1), 0)
    before, before_hits = groups.sum_over_whole(groups.size), groups.sum_over_whole(groups.hits)
    inside = xp.where(exists, (0 if cutoff is None else cutoff) - before, 0)
    fewest, most = xp.maximum(inside - (size - hits), 0), xp.minimum(inside, hits)
    return Edge(before, before_hits, size, hits, inside, fewest, most)
