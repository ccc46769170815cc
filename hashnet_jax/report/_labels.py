"""Places labels in figures, either at the ends of lines or in free space inside the axes."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from sklearn.isotonic import isotonic_regression

from hashnet_jax.report._figures import LABEL_SIZE

LINE_HEIGHT = 9  # points
# Positions (x, y) of a label relative to its anchor, as multiples of the distance, in order of
# preference; the signs determine which side of the label faces the anchor.
CORNERS_FIRST = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
ABOVE_FIRST = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_ALIGN_X = {1: "left", 0: "center", -1: "right"}
_ALIGN_Y = {1: "bottom", 0: "center", -1: "top"}


@dataclasses.dataclass(frozen=True)
class Label:
    """A label to place beside a point.

    Attributes:
      text: text of the label.
      anchors: points that the label may be placed beside, in data coordinates, in order of
        preference.
      color: text colour.
      distance: distance from the anchor, in points.
      may_be_far: whether the label may also be placed at twice ``distance``.
      directions: directions from the anchor, best first: ``CORNERS_FIRST`` or ``ABOVE_FIRST``.
      required: whether to draw the label even if there is no free place.
      weight: font weight, "normal" or "bold".
      size: font size, in points.
    """

    text: str
    anchors: Sequence[tuple[float, float]]
    color: str
    distance: float = 4.0
    may_be_far: bool = True
    directions: Sequence[tuple[int, int]] = CORNERS_FIRST
    required: bool = False
    weight: str = "normal"
    size: float = LABEL_SIZE


@dataclasses.dataclass(frozen=True)
class _Place:
    """A candidate place for a label; ``box`` is (left, bottom, right, top) in pixels."""

    anchor: tuple[float, float]
    offset: tuple[float, float]
    align: tuple[str, str]
    box: Float[np.ndarray, "4"]


def place_labels(
    axes: Axes, labels: Sequence[Label], *, obstacles: Float[np.ndarray, "N 2"] | None = None
) -> list[Annotation]:
    """Places labels where they do not cover lines, obstacles or each other.

    Labels are placed greedily in the given order, each in its first free place. If no place is
    free, the label is omitted or, if it is required, placed where it covers the least.

    Args:
      axes: axes of the plot; its lines, texts and limits must already be set.
      labels: labels to place.
      obstacles: additional points to avoid, in data coordinates.

    Returns:
      The annotations of the labels that were placed.
    """
    lay_out(axes)
    points = _occupied(axes, obstacles)
    taken = [np.array(text.get_window_extent().extents, float) for text in axes.texts]
    placed = []
    for label in labels:
        places = _places(axes, label)
        costs = [_cost(axes, place.box, points, taken) for place in places]
        best = int(np.argmin(costs))
        if costs[best] > 0 and not label.required:
            continue
        taken.append(places[best].box)
        placed.append(_annotate(axes, label, places[best]))
    return placed


def label_ends(axes: Axes, x: float, ends: Sequence[tuple[float, str, str]]) -> None:
    """Writes the name of each line in the margin, to the right of the line's end.

    Names that would overlap are moved apart and connected to their lines by thin leaders.

    Args:
      axes: axes of the plot; its limits must already be set.
      x: x coordinate at which the lines end.
      ends: ``(y, text, color)`` for each line.
    """
    dpi = lay_out(axes).dpi
    height = axes.get_window_extent().height * 72 / dpi  # points
    low, high = axes.get_ylim()
    ends = sorted(ends)
    at = [min(max((y - low) / (high - low), 0.0), 1.0) for y, _, _ in ends]
    heights = [(LINE_HEIGHT * (1 + text.count("\n")) + 3) / height for _, text, _ in ends]
    for (_, text, color), end, part in zip(ends, at, spread(at, heights), strict=True):
        moved = abs(part - end) * height > LINE_HEIGHT / 2
        axes.annotate(
            text,
            (x, low + end * (high - low)),
            xytext=(1.06 if moved else 1.03, part),
            textcoords="axes fraction",
            color=color,
            fontsize=LABEL_SIZE,
            va="center",
            linespacing=0.95,
            annotation_clip=False,
            arrowprops=_leader(color) if moved else None,
        )


def spread(at: Sequence[float], heights: Sequence[float]) -> Float[np.ndarray, " N"]:
    """Moves overlapping labels apart by as little as possible and keeps them within 0..1.

    Args:
      at: desired centres of the labels, ascending, as fractions of the axes' height.
      heights: heights of the labels, in the same unit.

    Returns:
      The new centres, ascending. If the labels do not all fit, they extend beyond the top.

    Examples:
      >>> spread([0.5, 0.5], [0.1, 0.1]).round(2)
      array([0.45, 0.55])
    """
    sizes = np.asarray(heights, float)
    offsets = np.concatenate([[0.0], np.cumsum((sizes[:-1] + sizes[1:]) / 2)])
    # A label below the axes would overlap the tick labels, but one at the top may be centred on 1.
    low, high = sizes[0] / 2, 1 - offsets[-1]
    free = isotonic_regression(np.asarray(at) - offsets, y_min=low, y_max=max(low, high))
    return np.asarray(free) + offsets


def _leader(color: str) -> dict[str, Any]:
    """Returns the style of the thin line that connects a label's left edge to its data line."""
    return {
        "arrowstyle": "-",
        "color": color,
        "linewidth": 0.5,
        "relpos": (0, 0.5),
        "shrinkA": 0,
        "shrinkB": 1,
    }


def lay_out(axes: Axes) -> Figure:
    """Lays out a figure to determine the pixel coordinates of its axes; returns the figure."""
    figure = cast(Figure, axes.figure)
    figure.draw_without_rendering()
    return figure


def _occupied(axes: Axes, obstacles: Float[np.ndarray, "N 2"] | None) -> Float[np.ndarray, "M 2"]:
    """Returns pixel coordinates of obstacles, and of points at most 1 pixel apart on all lines."""
    points = [np.empty((0, 2))]
    for line in axes.lines:
        corners = line.get_transform().transform(np.asarray(line.get_xydata(), float))
        corners = corners[np.isfinite(corners).all(axis=1)]
        if len(corners) and line.get_linestyle() == "None":
            points.append(corners)
        elif len(corners):
            length = np.r_[0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T))]
            at = np.linspace(0, length[-1], int(length[-1]) + 2)
            points.append(np.stack([np.interp(at, length, axis) for axis in corners.T], axis=1))
    if obstacles is not None:
        points.append(axes.transData.transform(obstacles))
    return np.concatenate(points)


def _places(axes: Axes, label: Label) -> list[_Place]:
    scale = axes.figure.dpi / 72  # pixels per point
    probe = axes.text(
        *label.anchors[0], label.text, fontsize=label.size, weight=label.weight, linespacing=0.95
    )
    extent = probe.get_window_extent()
    probe.remove()
    size = np.array([extent.width, extent.height])
    places = []
    for anchor in label.anchors:
        start = axes.transData.transform(anchor)
        for factor in (1, 2) if label.may_be_far else (1,):
            for x, y in label.directions:
                # Scale diagonal offsets so that corners are about as far away as sides would be.
                distance = factor * label.distance / (1.4 if x and y else 1)
                corner = start + scale * distance * np.array([x, y])
                corner += size * (np.array([x, y]) - 1) / 2
                places.append(
                    _Place(
                        (float(anchor[0]), float(anchor[1])),
                        (distance * x, distance * y),
                        (_ALIGN_X[x], _ALIGN_Y[y]),
                        np.concatenate([corner, corner + size]),
                    )
                )
    return places


def _cost(
    axes: Axes,
    box: Float[np.ndarray, "4"],
    points: Float[np.ndarray, "M 2"],
    taken: Sequence[Float[np.ndarray, "4"]],
) -> float:
    """Returns the cost of placing a label in ``box``.

    The cost is the number of points in the box, plus large penalties for covering text or leaving
    the axes.
    """
    grown = box + np.array([-2, -2, 2, 2])  # pixels, to allow for line width
    frame = np.asarray(axes.get_window_extent().extents)
    outside = (box[:2] < frame[:2]).any() or (box[2:] > frame[2:] + 2).any()
    overlaps = sum(
        bool((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all()) for other in taken
    )
    return float(_inside(points, grown).sum() + 1000 * overlaps + 1000 * outside)


def _inside(
    points: Float[np.ndarray, "M 2"], box: Float[np.ndarray, "4"]
) -> Bool[np.ndarray, " M"]:
    return np.all((points > box[:2]) & (points < box[2:]), axis=1)


def _annotate(axes: Axes, label: Label, place: _Place) -> Annotation:
    annotation = axes.annotate(
        label.text,
        place.anchor,
        xytext=place.offset,
        textcoords="offset points",
        ha=place.align[0],
        va=place.align[1],
        color=label.color,
        fontsize=label.size,
        weight=label.weight,
        linespacing=0.95,
        annotation_clip=False,
    )
    # The places were chosen for the current layout, so the layout must not change.
    annotation.set_in_layout(False)
    return annotation
