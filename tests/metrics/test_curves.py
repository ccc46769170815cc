"""Tests the precision and recall curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.metrics import DistanceCounts, precision_at, precision_recall, within_radius
from tests.metrics.test_average_precision import all_orders, random_counts


def test_precision_at_equals_the_mean_over_all_ways_of_breaking_ties():
    relevant, total = [1, 0, 2, 1], [3, 1, 4, 2]
    rankings = np.array(all_orders(relevant, total))
    ranks = [1, 2, 5, 7, 10, 15]
    expected = [rankings[:, :rank].sum(axis=1).mean() / rank for rank in ranks]
    counts = DistanceCounts(np.array([relevant]), np.array([total]))
    np.testing.assert_allclose(precision_at(counts, ranks), expected, rtol=1e-13)


def test_precision_recall_pools_the_pairs_within_each_radius():
    counts = random_counts(queries=6, database=50, bits=7, classes=3)
    counts.total[:, 0] = counts.relevant[:, 0] = 0
    precision, recall = precision_recall(counts)
    assert np.isnan(precision[0])
    for radius in range(1, 8):
        relevant = counts.relevant[:, : radius + 1].sum()
        assert precision[radius] == relevant / counts.total[:, : radius + 1].sum()
        assert recall[radius] == relevant / counts.relevant.sum()


def test_an_empty_ball_has_precision_zero_and_is_reported():
    # Within radius 2, query 0 finds 3 of 4 relevant codes and query 1 finds nothing; query 2 has no
    # relevant codes.
    relevant = np.array([[1, 1, 1, 3], [0, 0, 0, 2], [0, 0, 0, 0]])
    total = np.array([[1, 1, 2, 6], [0, 0, 0, 10], [2, 0, 0, 8]])
    result = within_radius(DistanceCounts(relevant, total))
    assert result == (0.25, 0.5 / 3, 1, 3)


def test_curves_under_jit_equal_those_on_the_host():
    counts = random_counts(queries=40, database=100_000, bits=64, classes=10)
    on_device = jax.tree.map(jnp.asarray, counts)

    def report(counts):
        return (
            precision_recall(counts),
            within_radius(counts, radius=8),
            precision_at(counts, [1, 100, 5_000]),
        )

    for a, b in zip(
        jax.tree.leaves(jax.jit(report)(on_device)), jax.tree.leaves(report(counts)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_radii_and_ranks_out_of_range_are_rejected():
    counts = random_counts(2, 10, 7, 2)
    with pytest.raises(ValueError, match=r"`radius` must be in 0\.\.K \(K = 7\), got 8"):
        within_radius(counts, radius=8)
    with pytest.raises(ValueError, match="`ranks` must be >= 1, got 0"):
        precision_at(counts, [1, 0])
