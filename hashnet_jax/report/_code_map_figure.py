"""Draws the map of codes, coloured by class and labelled in place or with a legend."""

from typing import cast

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from hashnet_jax.data import Dataset
from hashnet_jax.report._code_map import NO_LABEL, CodeMap, code_map
from hashnet_jax.report._figures import (
    COLUMN_WIDTH,
    GREY,
    INK,
    LABEL_SIZE,
    PALE,
    ReportFigure,
    draw,
    literal,
)
from hashnet_jax.report._finished_run import FinishedRun
from hashnet_jax.report._labels import ABOVE_FIRST, Label, lay_out, place_labels

# Tol's colour-blind-safe "muted" palette plus one colour; further classes are pale grey.
CLASS_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#555555"),
)
POINT_AREA = 5  # square points per image
# Classes are labelled in place if at least this fraction of images is closest to its class mean.
TOLD_APART = 0.9
LONGEST_NAME = 22  # characters
LEGEND_COLUMNS = 2
LEGEND_ROW = 0.16  # inches


def map_figure(run: FinishedRun, dataset: Dataset, *, seed: int = 0) -> ReportFigure:
    """Draws a t-SNE map of database codes, coloured by class.

    If the classes are well separated, their names are written next to the codes. Otherwise, or if
    the names do not fit, the figure has a legend.

    Args:
      run: the finished run.
      dataset: the run's data set, for the class names.
      seed: seed for t-SNE and for sampling from a large database.

    Returns:
      The figure.
    """
    codes = code_map(run, seed=seed)
    frequent = codes.by_frequency()
    colored = dict(zip(sorted(frequent[: len(CLASS_COLORS)]), CLASS_COLORS, strict=False))
    others = frequent[len(CLASS_COLORS) :]
    names = {label: literal(dataset.classes[label], longest=LONGEST_NAME) for label in frequent}
    grey = _grey_label(codes, len(others))
    in_place = codes.told_apart(list(colored)) >= TOLD_APART

    def plot(figure: Figure) -> str:
        axes = _scatter(figure, codes, colored)
        if not (in_place and _name_in_place(axes, codes, names, colored)):
            _add_legend(figure, axes, names, grey)
        named = _name_others(axes, codes, names, others) if in_place else 0
        return _grey_note(grey, len(others), named)

    by = "first label" if run.multi_label else "class"
    total = int(codes.images.sum())
    shown = ", ".join(dataset.classes[label] for label in colored)
    return draw(
        plot,
        name="tsne",
        title="Map of codes",
        caption=f"t-SNE of the binary codes of {total:,} database images. Each point is a code; "
        f"its area is proportional to the number of images with that code, and its colour shows "
        f"their most frequent {by}. Distances between clusters are not meaningful.",
        alt=f"t-SNE scatter plot of {len(codes.plane):,} distinct codes of {total:,} images, "
        f"coloured by {by}: {shown}{f'; grey: {grey}' if grey else ''}. The most "
        f"frequent code is shared by {codes.images.max():,} images.",
        height=COLUMN_WIDTH,
    )


def _scatter(figure: Figure, codes: CodeMap, colored: dict[int, str]) -> Axes:
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal", "datalim")
    rest = ~np.isin(codes.classes, list(colored))
    for members, color, name in (
        (rest, PALE, ""),
        *((codes.members(label), color, str(label)) for label, color in colored.items()),
    ):
        axes.scatter(
            *codes.plane[members].T,
            s=POINT_AREA * codes.images[members],
            color=color,
            label=name,
            linewidths=0.3,
            edgecolors="white",
            rasterized=True,  # thousands of vector points would bloat the SVG
        )
    return axes


def _name_in_place(
    axes: Axes, codes: CodeMap, names: dict[int, str], colored: dict[int, str]
) -> bool:
    """Labels all coloured classes next to their codes, or no class if any label does not fit."""
    short = max(map(len, names.values()), default=0) <= 2
    labels = [
        _beside(codes, label, names[label], color=INK, weight="bold" if short else "normal")
        for label in colored
    ]
    placed = place_labels(axes, labels, obstacles=_rims(axes, codes))
    if len(placed) < len(labels):
        for annotation in placed:
            annotation.remove()
        return False
    for annotation in placed:
        annotation.set_path_effects([withStroke(linewidth=2.2, foreground="white")])
    return True


def _name_others(axes: Axes, codes: CodeMap, names: dict[int, str], others: list[int]) -> int:
    """Labels the grey classes for which there is room, and returns the number of labels."""
    labels = [_beside(codes, label, names[label], color=GREY, size=6.0) for label in others]
    return len(place_labels(axes, labels, obstacles=_rims(axes, codes)))


def _beside(
    codes: CodeMap,
    label: int,
    name: str,
    *,
    color: str,
    weight: str = "normal",
    size: float = LABEL_SIZE,
) -> Label:
    at = codes.central_code(label)
    radius = float(np.sqrt(POINT_AREA * codes.images[at])) / 2
    anchor = (float(codes.plane[at, 0]), float(codes.plane[at, 1]))
    return Label(
        name,
        [anchor],
        color,
        distance=radius + 2,
        may_be_far=False,  # a distant label could be mistaken for the label of other codes
        directions=ABOVE_FIRST,
        weight=weight,
        size=size,
    )


def _rims(axes: Axes, codes: CodeMap) -> Float[np.ndarray, "N 2"]:
    """Returns points on the edge and at the centre of each code's circle, in data coordinates."""
    radii = np.sqrt(POINT_AREA * codes.images) / 2 * lay_out(axes).dpi / 72
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    circle = np.concatenate([np.zeros((1, 2)), np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    pixels = axes.transData.transform(codes.plane)[:, None] + radii[:, None, None] * circle
    return axes.transData.inverted().transform(pixels.reshape(-1, 2))


def _add_legend(figure: Figure, axes: Axes, names: dict[int, str], grey: str) -> None:
    """Adds a legend below the map and enlarges the figure to make room for it."""
    handles, labels = axes.get_legend_handles_labels()
    shown = [names[int(label)] for label in labels]
    if grey:
        handles.append(axes.scatter([], [], color=PALE, linewidths=0.3, edgecolors="white"))
        shown.append(grey)
    figure.set_figheight(COLUMN_WIDTH + LEGEND_ROW * -(-len(shown) // LEGEND_COLUMNS))
    legend = figure.legend(
        handles,
        # Entries that start with an underscore would be left out, so the names are set below.
        list(map(str, range(len(shown)))),
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        fontsize=LABEL_SIZE,
        frameon=False,
        handletextpad=0.2,
        labelspacing=0.3,
        borderpad=0,
    )
    for text, name in zip(legend.get_texts(), shown, strict=True):
        text.set_text(name)
    for handle in legend.legend_handles:
        cast(PathCollection, handle).set_sizes([20])


def _grey_label(codes: CodeMap, n_others: int) -> str:
    """Returns the legend entry for codes drawn in grey, or ``""`` if there are none."""
    kinds = [f"{n_others} other classes"] if n_others else []
    kinds += ["no label"] if codes.members(NO_LABEL).any() else []
    return " or ".join(kinds)


def _grey_note(grey: str, n_others: int, named: int) -> str:
    """Returns the caption's note on grey codes; ``named`` of their classes are labelled."""
    if not grey:
        return ""
    frequent = f" The {len(CLASS_COLORS)} most frequent classes are coloured." if n_others else ""
    room = f"; {named} of these classes are labelled in the figure" if named else ""
    return f"{frequent} Grey: {grey}{room}."
