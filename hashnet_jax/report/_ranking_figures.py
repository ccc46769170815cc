"""Draws the precision-recall and precision@N curves."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from hashnet_jax.metrics import DistanceCounts, precision_at, precision_recall
from hashnet_jax.report._figures import BLUE, GREY, PALE, ReportFigure, draw, unit_axes
from hashnet_jax.report._labels import Label, place_labels

LAST_RANK = 1000  # the usual maximum N for precision@N curves
MARKED_RANKS = (1, 10, 100, 1000)
LABEL_SPACING = 0.17  # between labelled points of the precision-recall curve, in data units


def precision_recall_figure(counts: DistanceCounts) -> ReportFigure:
    """Draws precision as a function of recall, with one point per Hamming radius."""
    curve = precision_recall(counts)
    radii = np.flatnonzero(np.isfinite(curve.precision) & np.isfinite(curve.recall))
    precision, recall = np.asarray(curve.precision)[radii], np.asarray(curve.recall)[radii]
    chance = float(curve.precision[-1])
    labelled = _far_apart(recall, precision)

    def plot(figure: Figure) -> str:
        axes = unit_axes(figure, xlabel="Recall", ylabel="Precision")
        axes.set_xlim(-0.02, 1.02)
        axes.axhline(chance, color=PALE, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.plot(recall, precision, color=BLUE, marker="o", markersize=2.6, clip_on=False)
        along = [(x, chance) for x in np.linspace(0, 0.9, 10).tolist()]
        labels = [Label(f"chance {chance:.2f}", along, GREY, required=True)]
        for point in labelled:
            at = (float(recall[point]), float(precision[point]))
            labels.append(Label(f"$r$ = {radii[point]}", [at], GREY))
        place_labels(axes, labels)
        return ""

    points = "; ".join(
        f"precision {precision[point]:.3f} and recall {recall[point]:.3f} at radius {radii[point]}"
        for point in labelled
    )
    return draw(
        plot,
        name="precision_recall",
        title="Precision and recall",
        caption="Precision and recall of all database images within Hamming radius r, pooled over "
        "queries, with one point per radius. Ties do not affect this curve. The dashed line is the "
        "fraction of relevant pairs, which is the precision of a random ranking.",
        alt=f"Line chart of precision against recall, by Hamming radius: {points}. Chance "
        f"precision is {chance:.3f}.",
    )


def precision_at_figure(counts: DistanceCounts) -> ReportFigure:
    """Draws the precision of the first N results as a function of N."""
    last = min(LAST_RANK, int(counts.total[0].sum()))
    ranks = np.unique(np.geomspace(1, last, 120).round().astype(int)).tolist()
    marked = [rank for rank in MARKED_RANKS if rank <= last]
    values = np.asarray(precision_at(counts, ranks))
    at_marked = np.asarray(precision_at(counts, marked)).tolist()
    relevant = float(counts.relevant.sum(axis=1).mean())

    def plot(figure: Figure) -> str:
        axes = unit_axes(figure, xlabel="First N results (log scale)", ylabel="Precision@N")
        axes.set_xscale("log")
        axes.set_xlim(0.9, last * 1.1)
        axes.set_xticks(marked, [f"{rank:,}" for rank in marked])
        axes.plot(ranks, values, color=BLUE, clip_on=False)
        axes.plot(marked, at_marked, "o", color=BLUE, markersize=4, clip_on=False)
        labels = [
            Label(f"{value:.3f}", [(float(rank), value)], BLUE, distance=5.0, required=True)
            for rank, value in zip(marked, at_marked, strict=True)
        ]
        if 1 <= relevant < last:
            axes.axvline(relevant, color=PALE, linewidth=0.8, linestyle=(0, (4, 2)))
            along = [(relevant, y) for y in np.linspace(0.1, 0.95, 12).tolist()]
            name = f"{relevant:.0f} relevant\nper query (mean)"
            labels.append(Label(name, along, GREY, required=True))
        place_labels(axes, labels)
        return ""

    points = ", ".join(f"{v:.3f} at N = {n:,}" for n, v in zip(marked, at_marked, strict=True))
    return draw(
        plot,
        name="precision_at_n",
        title="Precision@N",
        caption="Precision of the first N results, averaged over queries and over all tie-breaking "
        "orders. It necessarily falls beyond the mean number of relevant images (dashed).",
        alt=f"Line chart of precision against the number of results N: {points}. A query has "
        f"{relevant:.0f} relevant images on average.",
    )


def _far_apart(x: Float[np.ndarray, " P"], y: Float[np.ndarray, " P"]) -> list[int]:
    """Returns indices of points at least ``LABEL_SPACING`` apart, always including the first."""
    chosen = [0] if len(x) else []  # without relevant images, there are no points
    for point in range(1, len(x)):
        if np.hypot(x[point] - x[chosen[-1]], y[point] - y[chosen[-1]]) >= LABEL_SPACING:
            chosen.append(point)
    return chosen
