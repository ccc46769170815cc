"""Figures of the ranking: precision and recall, and precision@N."""

import numpy as np

from hashnet_jax.curves import precision_at, precision_recall
from reporting.figures import BLUE, GREY, PALE, draw, unit_axes

RANKS = 1000  # precision@N is drawn up to here, as the field does


def precision_recall_figure(counts):
    """Precision over recall, a point for each Hamming radius."""
    curve = precision_recall(counts)
    radii = np.flatnonzero(np.isfinite(curve.precision) & np.isfinite(curve.recall))
    precision, recall = curve.precision[radii], curve.recall[radii]
    chance = float(curve.precision[-1])
    # Points near the line of chance would be labelled into its label.
    labelled = [i for i in _apart(recall, precision) if i == 0 or precision[i] > chance + 0.1]

    def plot(figure):
        axes = unit_axes(figure, "Recall", "Precision")
        axes.set_xlim(-0.02, 1.02)
        axes.axhline(chance, color=PALE, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.text(0, chance + 0.015, f"chance {chance:.2f}", color=GREY, fontsize=8, va="bottom")
        axes.plot(recall, precision, color=BLUE, marker="o", markersize=2.6, clip_on=False)
        # Beside the curve, on the side away from where it bends to.
        bends_up = np.trapezoid(precision, recall) > 0.5
        offset, align = ((-5, -5), ("right", "top")) if bends_up else ((5, 4), ("left", "bottom"))
        for point in labelled:
            at_axis = bends_up and recall[point] < 0.15
            axes.annotate(
                f"$r$ = {radii[point]}",
                (recall[point], precision[point]),
                xytext=(0, -6) if at_axis else offset,
                textcoords="offset points",
                ha="left" if at_axis else align[0],
                va=align[1],
                fontsize=8,
                color=GREY,
            )

    read = "; ".join(
        f"at radius {radii[point]} precision {precision[point]:.3f} and recall {recall[point]:.3f}"
        for point in labelled
    )
    return draw(
        "precision_recall",
        "Precision and recall",
        "Pairs of query and image within Hamming radius r, all queries pooled; one point a "
        "radius, so that ties do not matter. Dashed: the share of relevant pairs.",
        f"Line chart of precision over recall by Hamming radius: {read}. Chance is {chance:.3f}.",
        plot,
    )


def precision_at_figure(counts):
    """Precision of the first N results over N."""
    size = int(counts.total[0].sum())
    last = min(RANKS, size)
    ranks = np.unique(np.geomspace(1, last, 120).round().astype(int)).tolist()
    shown = [rank for rank in (1, 10, 100, 1000) if rank <= last]
    values = precision_at(counts, ranks)
    marked = precision_at(counts, shown)
    relevant = counts.relevant.sum(axis=1).mean()

    def plot(figure):
        axes = unit_axes(figure, "First N results (log scale)", "Precision@N")
        axes.set_xscale("log")
        axes.set_xlim(0.9, last * 1.1)
        if relevant < last:
            axes.axvline(relevant, color=PALE, linewidth=0.8, linestyle=(0, (4, 2)))
            axes.annotate(
                f"{relevant:.0f} relevant\non average",
                # Under the curve, or where that is low, above it.
                (relevant, 0.03 if np.interp(relevant, ranks, values) > 0.3 else 0.97),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="bottom" if np.interp(relevant, ranks, values) > 0.3 else "top",
                fontsize=8,
                color=GREY,
                linespacing=0.95,
            )
        axes.plot(ranks, values, color=BLUE, clip_on=False)
        axes.plot(shown, marked, "o", color=BLUE, markersize=4, clip_on=False)
        for rank, value in zip(shown, marked, strict=True):
            high = value > 0.85
            axes.annotate(
                f"{value:.3f}",
                (rank, value),
                # The curve falls to the right: below it to the left, above it to the right is free.
                xytext=(4, -5) if high and rank > 1 else (5, -5) if high else (5, 2),
                textcoords="offset points",
                ha="right" if high and rank > 1 else "left",
                va="top" if high else "bottom",
                fontsize=8,
                color=BLUE,
            )
        axes.set_xticks(shown, [f"{rank:,}" for rank in shown])

    read = ", ".join(f"{v:.3f} at N = {n:,}" for n, v in zip(shown, marked, strict=True))
    return draw(
        "precision_at_n",
        "Precision@N",
        "Mean over the queries of the precision of the first N results, expected over the orders "
        "of ties. It must fall beyond the number of relevant images (dashed).",
        f"Line chart of precision over the number of results N: {read}. A query has "
        f"{relevant:.0f} relevant images on average.",
        plot,
    )


def _apart(x, y, least=0.17):
    """Positions of points far enough from each other to be labelled, the first among them."""
    chosen = [0] if len(x) else []  # nothing is drawn where nothing is relevant
    for point in range(1, len(x)):
        if np.hypot(x[point] - x[chosen[-1]], y[point] - y[chosen[-1]]) >= least:
            chosen.append(point)
    return chosen
