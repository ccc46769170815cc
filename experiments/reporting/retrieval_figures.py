"""Figures of the retrieval: precision-recall, precision@N, and the Hamming ball by radius."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from hashnet_jax.curves import precision_at, precision_recall, within_radius
from reporting.card import RADIUS
from reporting.figures import BLUE, GREEN, GREY, PALE, VERMILION, draw, label_ends

RANKS = 1000  # precision@N is drawn up to here, as the field does


def retrieval_figures(run):
    """The four figures of a run's ranking, see :class:`reporting.figures.ReportFigure`."""
    draw_of = (precision_recall_figure, precision_at_figure, radius_figure, distance_figure)
    return [draw_of_counts(run.evaluation.counts) for draw_of_counts in draw_of]


def precision_recall_figure(counts):
    """Precision over recall, a point for each Hamming radius."""
    curve = precision_recall(counts)
    radii = np.flatnonzero(np.isfinite(curve.precision) & np.isfinite(curve.recall))
    precision, recall = curve.precision[radii], curve.recall[radii]
    chance = float(curve.precision[-1])
    # Points near the line of chance would be labelled into its label.
    labelled = [i for i in _apart(recall, precision) if i == 0 or precision[i] > chance + 0.1]

    def plot(figure):
        axes = _unit_axes(figure, "Recall", "Precision")
        axes.set_xlim(-0.02, 1.02)
        axes.axhline(chance, color=PALE, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.text(0, chance + 0.015, f"chance {chance:.2f}", color=GREY, fontsize=8, va="bottom")
        axes.plot(recall, precision, color=BLUE, marker="o", markersize=2.6, clip_on=False)
        # Beside the curve, on the side away from where it bends to.
        bends_up = np.trapezoid(precision, recall) > 0.5
        offset, align = ((-5, -5), ("right", "top")) if bends_up else ((5, 4), ("left", "bottom"))
        for point in labelled:
            if bends_up and recall[point] < 0.15:  # to the left there is the axis
                offset_here, align_here = (0, -6), ("left", "top")
            else:
                offset_here, align_here = offset, align
            axes.annotate(
                f"$r$ = {radii[point]}",
                (recall[point], precision[point]),
                xytext=offset_here,
                textcoords="offset points",
                ha=align_here[0],
                va=align_here[1],
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
        axes = _unit_axes(figure, "First N results (log scale)", "Precision@N")
        axes.set_xscale("log")
        axes.set_xlim(0.9, last * 1.1)
        if relevant < last:
            axes.axvline(relevant, color=PALE, linewidth=0.8, linestyle=(0, (4, 2)))
            axes.annotate(
                f"{relevant:.0f} relevant\non average",
                (relevant, 0.03),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
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


def radius_figure(counts):
    """Precision, recall and empty balls over the Hamming radius."""
    bits = counts.total.shape[1] - 1
    queries = len(counts.total)
    balls = [within_radius(counts, radius=radius) for radius in range(bits + 1)]
    recall = np.array([ball.recall for ball in balls])
    # On to where all is found: from there precision only falls.
    last = max(min(2 * RADIUS, bits), int(np.argmax(recall >= 0.995 * recall[-1])))
    radii = np.arange(last + 1)
    lines = {
        "precision": (np.array([ball.precision for ball in balls]), BLUE, "-"),
        "recall": (recall, VERMILION, "-"),
        "queries that\nfind nothing": (
            np.array([ball.empty_queries for ball in balls]) / queries,
            GREEN,
            (0, (3, 1.5)),
        ),
    }
    radius = min(RADIUS, bits)
    ball = balls[radius]

    def plot(figure):
        axes = _unit_axes(figure, "Hamming radius", "Mean over queries")
        axes.set_xlim(0, last)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axvline(radius, color=PALE, linewidth=0.8)
        for values, color, style in lines.values():
            axes.plot(radii, values[: last + 1], color=color, linestyle=style, clip_on=False)
            axes.plot(radius, values[radius], "o", color=color, markersize=4, clip_on=False)
        ends = [(values[last], name, color) for name, (values, color, _) in lines.items()]
        label_ends(axes, last, ends)

    return draw(
        "hamming_radius",
        f"Within Hamming radius {radius}",
        f"What a hash table returns. At radius {radius} (dots): precision {ball.precision:.3f}, "
        f"recall {ball.recall:.3f}; {ball.empty_queries:,} of {queries:,} queries find nothing "
        "and count 0.",
        f"Line chart over the Hamming radius 0 to {last}. At radius {radius}: precision "
        f"{ball.precision:.3f}, recall {ball.recall:.3f}, {ball.empty_queries:,} of {queries:,} "
        f"queries find nothing. At radius {last}: precision {balls[last].precision:.3f}, recall "
        f"{balls[last].recall:.3f}.",
        plot,
    )


def distance_figure(counts):
    """The histogram of Hamming distances of relevant and of other pairs."""
    relevant, total = counts.relevant.sum(axis=0), counts.total.sum(axis=0)
    distances = np.arange(len(total))
    kinds = {}
    for name, of, color in (
        ("relevant", relevant, BLUE),
        ("not relevant", total - relevant, VERMILION),
    ):
        if of.sum():  # a database may hold one kind only
            kinds[name] = (100 * of / of.sum(), (of * distances).sum() / of.sum(), color)

    def plot(figure):
        axes = figure.subplots()
        for share, _, color in kinds.values():
            edges = np.arange(len(share) + 1) - 0.5
            axes.stairs(share, edges, fill=True, color=color, alpha=0.2)
            axes.stairs(share, edges, color=color, linewidth=1.2)
        axes.set(
            xlabel="Hamming distance of query and image",
            ylabel="Pairs of the kind (%)",
            xlim=(-0.5, len(distances) - 0.5),
        )
        axes.set_ylim(0, 1.15 * axes.dataLim.y1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for name, (share, _, color) in kinds.items():
            peak = int(share.argmax())
            right = peak > len(distances) / 2
            axes.annotate(
                name,
                (peak + (0.5 if right else -0.5), share[peak]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right" if right else "left",
                va="bottom",
                fontsize=8,
                color=color,
            )

    means = ", ".join(f"{mean:.1f} of {name} pairs" for name, (_, mean, _) in kinds.items())
    return draw(
        "distances",
        "Hamming distances",
        "Distances of relevant pairs of query and image, which share a label, and of the others; "
        f"each kind adds up to 100 %. Mean distance: {means}.",
        f"Two histograms over the Hamming distance 0 to {len(distances) - 1}. Mean: {means}.",
        plot,
    )


def _unit_axes(figure, xlabel, ylabel):
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.02), yticks=np.linspace(0, 1, 6))
    return axes


def _apart(x, y, least=0.17):
    """Positions of points far enough from each other to be labelled, the first among them."""
    chosen = [0]
    for point in range(1, len(x)):
        if np.hypot(x[point] - x[chosen[-1]], y[point] - y[chosen[-1]]) >= least:
            chosen.append(point)
    return chosen
