"""Builds two tables: MAP per class, and precision and recall per Hamming radius."""

import dataclasses

import numpy as np

from hashnet_jax.data import Dataset
from hashnet_jax.metrics import (
    DistanceCounts,
    mean_average_precision,
    precision_recall,
    within_radius,
)
from hashnet_jax.report._finished_run import FinishedRun, label_ids

Cell = str | int | float


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that can be sorted by any column.

    Attributes:
      name: HTML id of the table.
      caption: description of the contents.
      columns: column headers.
      rows: tuples of cells; the first cell of each row is its header.
      digits: number of decimal places shown for floats.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    digits: int = 4


def class_table(run: FinishedRun, dataset: Dataset) -> Table:
    """Computes MAP and its range over tie-breaking orders for the queries of each class.

    MAP follows the run's convention. A query with several labels counts towards each of its
    classes.
    """
    mean, counts = run.mean_average_precision, run.evaluation.counts
    rows: list[tuple[Cell, ...]] = []
    for class_id, queries in sorted(_queries_by_class(run).items()):
        of_class = mean_average_precision(
            DistanceCounts(counts.relevant[queries], counts.total[queries]),
            cutoff=mean.cutoff,
            divisor=mean.divisor,
            no_hit=mean.no_hit,
        )
        band = (float(of_class.expected), float(of_class.worst), float(of_class.best))
        rows.append((dataset.classes[class_id], len(queries), *band))
    several = " A query counts towards each of its classes." if run.multi_label else ""
    return Table(
        "classes",
        f"MAP@{mean.cutoff or 'all'} of the queries in each class: expected, worst and best values "
        "over all tie-breaking orders." + several,
        ("Class", "Queries", "Expected", "Worst", "Best"),
        rows,
    )


def radius_table(run: FinishedRun) -> Table:
    """Computes precision and recall per Hamming radius, both pooled and averaged over queries."""
    counts = run.evaluation.counts
    pooled = precision_recall(counts)
    rows: list[tuple[Cell, ...]] = []
    for radius in np.flatnonzero(np.isfinite(pooled.precision)).tolist():
        ball = within_radius(counts, radius=radius)
        at_radius = (pooled.precision[radius], pooled.recall[radius], ball.precision, ball.recall)
        rows.append((radius, *map(float, at_radius), int(ball.empty_queries)))
        if pooled.recall[radius] == 1:
            break
    return Table(
        "radii",
        "Precision and recall within each Hamming radius (bits), up to the radius that contains "
        "all relevant images. Values are pooled over all pairs or averaged over queries; queries "
        "that retrieve nothing count as 0 in the averages.",
        (
            "Radius",
            "Precision, pooled",
            "Recall, pooled",
            "Precision, mean",
            "Recall, mean",
            "Queries that retrieve nothing",
        ),
        rows,
    )


def _queries_by_class(run: FinishedRun) -> dict[int, list[int]]:
    members: dict[int, list[int]] = {}
    for query, label in enumerate(run.query.labels):
        for class_id in label_ids(label):
            members.setdefault(class_id, []).append(query)
    return members
