"""What a figure of the report is, and the style that all share.

Sized for a column of a paper (86 mm) and drawn for it: serif type of 8-9 points, lines labelled
where they end instead of in a legend, colours of Okabe and Ito, told apart by every kind of
colour vision and in grey. Drawn without pyplot, so that no state is shared.
"""

import dataclasses
import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.isotonic import isotonic_regression

WIDTH = 3.4  # inches: a column of a paper
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#007a5a"
INK, GREY, PALE = "#222222", "#666666", "#bdbdbd"

STYLE = {
    "font.family": "STIXGeneral",  # it comes with matplotlib
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
    # Glyphs as outlines look the same everywhere; fixed ids make the file the same every time.
    "svg.fonttype": "path",
    "svg.hashsalt": "hashnet_jax",
}


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A drawn figure.

    Attributes:
      name: of its files, without suffix.
      title: a few words, the head of its caption.
      caption: what is drawn and by which convention.
      alt: what it shows, with the key numbers, for who does not see it.
      png, svg: content of the files.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: bytes


def draw(name, title, caption, alt, plot, *, height=2.5):
    """Draws a figure: ``plot(figure)`` is called on an empty one, in the report's style.

    Args:
      name, title, caption, alt: see :class:`ReportFigure`.
      plot: a function of a ``matplotlib.figure.Figure``.
      height: in inches.

    Returns:
      :class:`ReportFigure`.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        plot(figure)
        files = {}
        # The date would make two drawings of one run differ.
        for form, metadata in (("png", {"Title": title}), ("svg", {"Title": title, "Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=300, metadata=metadata)
            files[form] = buffer.getvalue()
    return ReportFigure(name, title, caption, alt, **files)


def unit_axes(figure, xlabel, ylabel):
    """Axes whose y is a share, 0..1."""
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.02), yticks=np.linspace(0, 1, 6))
    return axes


def label_ends(axes, x, ends):
    """Writes the name of each line to the right of its end, moved apart where they would meet.

    Args:
      axes: of the plot; its limits must be set.
      x: where the lines end.
      ends: ``[(y, text, color), ...]``.
    """
    low, high = axes.get_ylim()
    points = axes.get_figure().get_figheight() * 72 / len(axes.get_figure().axes)
    ends = sorted(ends, key=lambda end: end[0])
    # Lines of text of 8 points, in parts of the height of the axes, which is about 0.8 of its row.
    heights = [(9 * (1 + text.count("\n")) + 3) / (0.8 * points) for _, text, _ in ends]
    placed = _spread([(y - low) / (high - low) for y, _, _ in ends], heights)
    for (y, text, color), part in zip(ends, placed, strict=True):
        axes.annotate(
            text,
            (x, y),
            xytext=(1.03, part),
            textcoords="axes fraction",
            color=color,
            fontsize=8,
            va="center",
            linespacing=0.95,
            annotation_clip=False,
        )


def _spread(at, heights):
    """Centres closest to ``at`` (ascending) of labels that neither overlap nor leave 0..1."""
    heights = np.array(heights)
    offsets = np.concatenate([[0], np.cumsum((heights[:-1] + heights[1:]) / 2)])
    low, high = heights[0] / 2, 1 - offsets[-1]
    return isotonic_regression(np.array(at) - offsets, y_min=low, y_max=max(low, high)) + offsets
