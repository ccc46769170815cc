"""Retrieval metrics with explicit conventions and an exact treatment of ties.

Hamming distance has only K + 1 values, so most of a ranking consists of ties. Every metric is a
function of :class:`DistanceCounts`: how many codes lie at each distance from a query, and how many
of them are relevant. :func:`evaluate` computes MAP from packed codes; the other functions take the
counts.

To add a metric, write a function of the counts and :func:`register` it. The metric then appears in
every run's results.
"""

from hashnet_jax.metrics import radius_2
from hashnet_jax.metrics._average_precision import (
    DIVISORS,
    AveragePrecision,
    average_precision,
)
from hashnet_jax.metrics._code_statistics import CodeStatistics, code_statistics
from hashnet_jax.metrics._counts import DistanceCounts
from hashnet_jax.metrics._counts_device import distance_counts, distance_counts_blocks
from hashnet_jax.metrics._counts_host import distance_counts_host
from hashnet_jax.metrics._curves import (
    PrecisionRecall,
    WithinRadius,
    precision_at,
    precision_recall,
    within_radius,
)
from hashnet_jax.metrics._evaluate import Evaluation, evaluate
from hashnet_jax.metrics._mean_average_precision import (
    CONVENTIONS,
    NO_HIT,
    MeanAveragePrecision,
    mean_average_precision,
)
from hashnet_jax.metrics._registry import METRICS, Metric, evaluate_registered, register
from hashnet_jax.metrics._scores import mean_average_precision_scores

register("precision_within_radius_2", radius_2.precision_within_radius_2)
register("recall_within_radius_2", radius_2.recall_within_radius_2)

__all__ = [
    "CONVENTIONS",
    "DIVISORS",
    "METRICS",
    "NO_HIT",
    "AveragePrecision",
    "CodeStatistics",
    "DistanceCounts",
    "Evaluation",
    "MeanAveragePrecision",
    "Metric",
    "PrecisionRecall",
    "WithinRadius",
    "average_precision",
    "code_statistics",
    "distance_counts",
    "distance_counts_blocks",
    "distance_counts_host",
    "evaluate",
    "evaluate_registered",
    "mean_average_precision",
    "mean_average_precision_scores",
    "precision_at",
    "precision_recall",
    "register",
    "within_radius",
]
