"""The evaluation card for a set of codes: MAP under each convention, and other metrics."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hashnet_jax.data.retrieval_files import RetrievalFiles
from hashnet_jax.metrics import (
    CONVENTIONS,
    DIVISORS,
    NO_HIT,
    DistanceCounts,
    Evaluation,
    MeanAveragePrecision,
    code_statistics,
    evaluate,
    evaluate_registered,
    mean_average_precision,
    precision_at,
    precision_recall,
    within_radius,
)
from hashnet_jax.report._card import RADIUS
from hashnet_jax.report._twins import count_twins, leak_hint

EvaluationCard = dict[str, Any]

# The convention that this package uses for its own results.
OWN = {"divisor": "hits", "no_hit": "zero"}
# Tools that have no cut-off.
_WITHOUT_CUTOFF = ("scikit-learn",)


def evaluate_files(
    files: RetrievalFiles,
    *,
    cutoffs: Sequence[int] = (),
    conventions: Sequence[str] = (),
) -> tuple[EvaluationCard, DistanceCounts]:
    """Evaluates codes under every MAP convention.

    Args:
      files: codes and labels of the queries and the database.
      cutoffs: values of R >= 1, in addition to the whole database.
      conventions: names of the tools whose MAP is computed, keys of
        ``hashnet_jax.metrics.CONVENTIONS``; by default, MAP is computed for every combination of a
        divisor and a treatment of queries without a hit.

    Returns:
      ``(card, counts)``: a dict that is JSON-serializable, except that values may be NaN, and the
      counts per distance, from which figures can be drawn.

    Raises:
      ValueError: if a cut-off is < 1, or the padding bits of packed codes are set.
    """
    labels = files.query_labels.values, files.database_labels.values
    evaluation = evaluate(files.query.packed, files.database.packed, *labels, bits=files.bits)
    counts = evaluation.counts
    classes = _number_of_classes(labels[1])
    statistics = code_statistics(files.database.packed, bits=files.bits, classes=classes)
    twins = count_twins(files)
    card = {
        "files": {
            name: {"name": file.name, "encoding": file.encoding}
            for name, file in files._asdict().items()
        },
        "bits": files.bits,
        "queries": len(files.query.packed),
        "database": len(files.database.packed),
        "classes": classes,
        "multi_hot": files.is_multi_hot,
        "map": list(_every_map(evaluation, cutoffs, conventions)),
        "relevant_share": counts.relevant.sum() / counts.total.sum(),
        "radius": _radius(counts),
        "metrics": evaluate_registered(counts),
        "precision_at": _precision_at(counts),
        "precision_recall": _precision_recall(counts),
        "codes": dataclasses.asdict(statistics) | {"ones": statistics.ones.tolist()},
        "twins": twins._asdict(),
        "notes": [*_notes(files, counts), *leak_hint(twins)],
    }
    return card, counts


def _every_map(
    evaluation: Evaluation, cutoffs: Sequence[int], conventions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for cutoff in (*cutoffs, None):
        for divisor in DIVISORS:
            for no_hit in NO_HIT:
                rules = {"divisor": divisor, "no_hit": no_hit}
                tools = _tools(rules, cutoff)
                if not conventions or set(tools) & set(conventions):
                    mean = mean_average_precision(evaluation.counts, cutoff=cutoff, **rules)
                    yield {**_entry(mean), "used_by": tools}


def _entry(mean: MeanAveragePrecision) -> dict[str, Any]:
    return dataclasses.asdict(mean) | {"convention": mean.convention}


def _tools(rules: dict[str, str], cutoff: int | None) -> list[str]:
    """Returns the names of the tools that compute MAP with the given convention and cut-off."""
    tools = ["hashnet_jax"] if rules == OWN else []
    for name, convention in CONVENTIONS.items():
        if convention == rules and (cutoff is None or name not in _WITHOUT_CUTOFF):
            tools.append(name)
    return tools


def _radius(counts: DistanceCounts) -> dict[str, Any]:
    """Computes recall and precision within radius 2, both pooled and averaged over queries."""
    radius = min(RADIUS, counts.total.shape[1] - 1)
    ball, pooled = within_radius(counts, radius=radius), precision_recall(counts)
    filled = ball.queries - int(ball.empty_queries)
    return {
        "radius": radius,
        "queries_with_empty_ball": int(ball.empty_queries),
        "precision_empty_counts_0": float(ball.precision),
        "precision_empty_dropped": ball.precision * ball.queries / filled if filled else np.nan,
        "precision_pooled": float(pooled.precision[radius]),
        "recall": float(ball.recall),
        "recall_pooled": float(pooled.recall[radius]),
    }


def _precision_at(counts: DistanceCounts) -> dict[str, Any]:
    last = int(counts.total[0].sum())
    steps = (step * 10**power for power in range(len(str(last))) for step in (1, 2, 5))
    ranks = [rank for rank in steps if rank < last] + [last]
    return {"ranks": ranks, "precision": np.asarray(precision_at(counts, ranks)).tolist()}


def _precision_recall(counts: DistanceCounts) -> dict[str, Any]:
    curve = precision_recall(counts)
    return {
        "radius": list(range(counts.total.shape[1])),
        "precision": np.asarray(curve.precision).tolist(),
        "recall": np.asarray(curve.recall).tolist(),
    }


def _number_of_classes(labels: np.ndarray) -> int:
    """Returns the number of classes that occur in the labels, or 1 if there are none."""
    occurring = len(np.unique(labels)) if labels.ndim == 1 else int(labels.any(axis=0).sum())
    return max(1, occurring)


def _notes(files: RetrievalFiles, counts: DistanceCounts) -> Iterator[str]:
    for what, labels in (
        ("queries", files.query_labels),
        ("database codes", files.database_labels),
    ):
        values = labels.values
        if values.ndim == 2 and (bare := int((~values.any(axis=1)).sum())):
            yield f"{bare:,} of {len(values):,} {what} have no label, so they are never relevant."
        if values.ndim == 1 and (negative := int((values < 0).sum())):
            yield (
                f"{negative:,} of {len(values):,} {what} have a negative class id, which counts as "
                "a class like any other."
            )
    relevant = counts.relevant.sum(axis=1)
    if unanswerable := int((relevant == 0).sum()):
        yield (
            f"{unanswerable:,} of {len(relevant):,} queries share no label with the database, so "
            "no ranking has a hit for them."
        )
