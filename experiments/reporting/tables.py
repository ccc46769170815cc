"""The tables of the report: MAP of each class, and the numbers behind the curves."""

import dataclasses

import numpy as np

from hashnet_jax.counting import DistanceCounts
from hashnet_jax.curves import precision_recall, within_radius
from hashnet_jax.metrics import mean_average_precision
from reporting.finished_run import label_ids


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose columns can be sorted.

    Attributes:
      name: its id in the page.
      caption: what it holds.
      columns: their heads.
      rows: tuples of cells, numbers or strings; the first heads its row.
      digits: after the point, for floats.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: list[tuple]
    digits: int = 4


def class_table(run, dataset):
    """MAP of the queries of each class, with its tie band, by the run's own convention.

    A query with several labels counts in each of its classes.
    """
    mean, counts = run.mean_average_precision, run.evaluation.counts
    members = {}
    for query, label in enumerate(run.query.labels):
        for class_id in label_ids(label):
            members.setdefault(class_id, []).append(query)
    rows = []
    for class_id, queries in sorted(members.items()):
        of_class = mean_average_precision(
            DistanceCounts(counts.relevant[queries], counts.total[queries]),
            cutoff=mean.cutoff,
            divisor=mean.divisor,
            no_hit=mean.no_hit,
        )
        band = (of_class.expected, of_class.worst, of_class.best)
        rows.append((dataset.classes[class_id], len(queries), *band))
    several = " A query counts in each of its classes." if run.multi_label else ""
    return Table(
        "classes",
        f"MAP@{mean.cutoff or 'all'} of the queries of each class, over the orders of ties."
        + several,
        ("Class", "Queries", "Expected", "Worst", "Best"),
        rows,
    )


def radius_table(run):
    """Precision and recall by Hamming radius, pooled and as means over the queries."""
    counts = run.evaluation.counts
    pooled = precision_recall(counts)
    rows = []
    for radius in np.flatnonzero(np.isfinite(pooled.precision)).tolist():
        ball = within_radius(counts, radius=radius)
        rows.append(
            (
                radius,
                *(float(values[radius]) for values in pooled),
                ball.precision,
                ball.recall,
                ball.empty_queries,
            )
        )
        if pooled.recall[radius] == 1:
            break
    return Table(
        "radii",
        "Precision and recall within each Hamming radius, up to where all relevant images are "
        "found: of all pairs together, and as the mean over queries, of which those that find "
        "nothing count 0.",
        (
            "Radius",
            "Precision, pooled",
            "Recall, pooled",
            "Precision, mean",
            "Recall, mean",
            "Queries that find nothing",
        ),
        rows,
    )
