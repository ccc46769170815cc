"""Figures over the Hamming distance: what a ball of a radius holds, and how distances lie."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from hashnet_jax.curves import within_radius
from reporting.card import RADIUS
from reporting.figures import BLUE, GREEN, PALE, VERMILION, draw, label_ends, unit_axes


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
        axes = unit_axes(figure, "Hamming radius", "Mean over queries")
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
        axes.set_ylim(0, 1.3 * axes.dataLim.y1)  # headroom for the names
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for line, (name, (_, mean, color)) in enumerate(kinds.items()):
            axes.annotate(
                f"{name}: mean {mean:.1f}",
                (1, 1),
                xycoords="axes fraction",
                xytext=(0, -10 * line),
                textcoords="offset points",
                ha="right",
                va="top",
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
