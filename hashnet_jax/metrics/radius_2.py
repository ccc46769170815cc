"""Precision and recall within Hamming radius 2, as in a hash table lookup."""

from hashnet_jax.metrics._counts import DistanceCounts
from hashnet_jax.metrics._curves import WithinRadius, within_radius


def _within_radius_2(counts: DistanceCounts) -> WithinRadius:
    return within_radius(counts, radius=min(2, counts.total.shape[1] - 1))


def precision_within_radius_2(counts: DistanceCounts) -> float:
    """Returns the mean precision within Hamming radius 2, or radius K if K < 2."""
    return float(_within_radius_2(counts).precision)


def recall_within_radius_2(counts: DistanceCounts) -> float:
    """Returns the mean recall within Hamming radius 2, or radius K if K < 2."""
    return float(_within_radius_2(counts).recall)
