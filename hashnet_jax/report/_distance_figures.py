"""Draws retrieval metrics for each Hamming radius, and histograms of Hamming distances."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hashnet_jax.metrics import DistanceCounts, WithinRadius, within_radius
from hashnet_jax.report._card import RADIUS
from hashnet_jax.report._figures import (
    BLUE,
    GREEN,
    GREY,
    LABEL_SIZE,
    PALE,
    VERMILION,
    ReportFigure,
    draw,
    unit_axes,
)
from hashnet_jax.report._labels import Label, label_ends, place_labels


class _Line(NamedTuple):
    name: str
    values: Float[np.ndarray, " K+1"]
    color: str
    style: str | tuple[int, tuple[float, ...]]


class _Kind(NamedTuple):
    """The percentage of relevant or irrelevant pairs at each distance, and their mean distance."""

    name: str
    share: Float[np.ndarray, " K+1"]
    mean: float
    color: str


def radius_figure(counts: DistanceCounts) -> ReportFigure:
    """Plots precision, recall and the fraction of empty Hamming balls against the radius."""
    bits, queries = counts.total.shape[1] - 1, len(counts.total)
    balls = [within_radius(counts, radius=radius) for radius in range(bits + 1)]
    lines = _lines(balls)
    recall = lines[1].values
    # Stop at the radius that retrieves nearly everything, since precision only falls beyond it.
    last = max(min(2 * RADIUS, bits), int(np.argmax(recall >= 0.995 * recall[-1])))
    radius = min(RADIUS, bits)

    def plot(figure: Figure) -> str:
        axes = unit_axes(figure, xlabel="Hamming radius (bits)", ylabel="Mean over queries")
        axes.set_xlim(0, last)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axvline(radius, color=PALE, linewidth=0.8)
        for line in lines:
            style = {"color": line.color, "clip_on": False}
            axes.plot(np.arange(last + 1), line.values[: last + 1], linestyle=line.style, **style)
            axes.plot(radius, line.values[radius], "o", markersize=4, **style)
        label_ends(axes, float(last), [(float(x.values[last]), x.name, x.color) for x in lines])
        along = [(float(radius), y) for y in np.linspace(0.95, 0.1, 12).tolist()]
        place_labels(axes, [Label(f"$r$ = {radius}", along, GREY)])
        return ""

    at, end = balls[radius], balls[last]
    nothing = f"{at.empty_queries:,} of {queries:,} queries retrieve nothing"
    return draw(
        plot,
        name="hamming_radius",
        title=f"Within Hamming radius {radius}",
        caption="Precision and recall of a hash-table lookup, averaged over queries. At radius "
        f"{radius} (dots): precision {at.precision:.3f}, recall {at.recall:.3f}; {nothing} and "
        "count as 0.",
        alt=f"Line chart for Hamming radii from 0 to {last}. At radius {radius}: precision "
        f"{at.precision:.3f}, recall {at.recall:.3f}, {nothing}. At radius {last}: precision "
        f"{end.precision:.3f}, recall {end.recall:.3f}.",
    )


def distance_figure(counts: DistanceCounts) -> ReportFigure:
    """Draws histograms of the Hamming distances of relevant and irrelevant pairs."""
    kinds = _kinds(counts)
    bits = counts.total.shape[1] - 1

    def plot(figure: Figure) -> str:
        axes = figure.subplots()
        edges = np.arange(bits + 2) - 0.5
        for kind in kinds:
            axes.stairs(kind.share, edges, fill=True, color=kind.color, alpha=0.2)
            axes.stairs(kind.share, edges, color=kind.color, linewidth=1.2)
        axes.set(
            xlabel="Hamming distance from query to database image (bits)",
            ylabel="Pairs of each kind (%)",
            xlim=(-0.5, bits + 0.5),
        )
        axes.set_ylim(0, 1.3 * axes.dataLim.y1)  # headroom for the labels
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for row, kind in enumerate(kinds):
            _name_kind(axes, kind, row)
        return ""

    means = ", ".join(f"{kind.mean:.1f} bits for {kind.name} pairs" for kind in kinds)
    return draw(
        plot,
        name="distances",
        title="Hamming distances",
        caption="Distances from queries to database images. Relevant pairs share a label; each "
        f"histogram adds up to 100 %. Mean distance: {means}.",
        alt=f"Two histograms of Hamming distances from 0 to {bits}. Mean distance: {means}.",
    )


def _lines(balls: list[WithinRadius]) -> list[_Line]:
    empty = np.array([ball.empty_queries for ball in balls]) / balls[0].queries
    return [
        _Line("precision", np.array([ball.precision for ball in balls]), BLUE, "-"),
        _Line("recall", np.array([ball.recall for ball in balls]), VERMILION, "-"),
        _Line("queries that\nretrieve nothing", empty, GREEN, (0, (3, 1.5))),
    ]


def _kinds(counts: DistanceCounts) -> list[_Kind]:
    """Returns the statistics of relevant and irrelevant pairs; a kind without pairs is omitted."""
    relevant, total = np.asarray(counts.relevant).sum(axis=0), np.asarray(counts.total).sum(axis=0)
    distances = np.arange(len(total))
    return [
        _Kind(
            name, 100 * pairs / pairs.sum(), float((pairs * distances).sum() / pairs.sum()), color
        )
        for name, pairs, color in (
            ("relevant", relevant, BLUE),
            ("irrelevant", total - relevant, VERMILION),
        )
        if pairs.sum()
    ]


def _name_kind(axes: Axes, kind: _Kind, row: int) -> None:
    axes.annotate(
        f"{kind.name}: mean {kind.mean:.1f}",
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, -10 * row),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=LABEL_SIZE,
        color=kind.color,
    )
