"""Tests the metrics registry, including a metric added from outside the package."""

import numpy as np
import pytest

from hashnet_jax import metrics
from hashnet_jax.metrics import DistanceCounts, evaluate_registered, within_radius

COUNTS = DistanceCounts(
    np.array([[1, 0, 1, 2], [0, 2, 0, 1]]), np.array([[1, 4, 3, 8], [2, 2, 4, 8]])
)


def toy_metric(counts):
    """The fraction of all codes that are relevant."""
    return counts.relevant.sum() / counts.total.sum()


metrics.register("toy_metric", toy_metric)


def test_a_registered_metric_is_evaluated():
    values = evaluate_registered(COUNTS)
    assert values["toy_metric"] == 7 / 32
    assert list(values) == list(metrics.METRICS)
    assert all(type(value) is float for value in values.values())


def test_precision_and_recall_within_radius_2_are_registered():
    ball = within_radius(COUNTS, radius=2)
    values = evaluate_registered(COUNTS)
    assert values["precision_within_radius_2"] == ball.precision
    assert values["recall_within_radius_2"] == ball.recall


def test_the_radius_is_limited_to_one_for_codes_of_one_bit():
    counts = DistanceCounts(np.array([[1, 1]]), np.array([[1, 3]]))
    values = evaluate_registered(counts)
    assert values["precision_within_radius_2"] == 0.5
    assert values["recall_within_radius_2"] == 1.0


def test_a_registered_name_cannot_be_reused():
    with pytest.raises(ValueError, match="'recall_within_radius_2' is already registered"):
        metrics.register("recall_within_radius_2", toy_metric)
