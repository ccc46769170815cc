"""Draws figures for the report in a common style.

Figures are sized for one column of a paper (86 mm). They use 8–9 point serif type, lines labelled
at their ends instead of in a legend, and Okabe and Ito's colours, which are distinguishable with
any type of colour vision and in greyscale print. They are drawn without pyplot to avoid its global
state.

The typeface is STIX, which ships with matplotlib; glyphs are drawn as outlines. STIX is a Times
design, so the page (`assets/base.css`) uses the first Times font available to the reader.
"""

import dataclasses
import io
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hashnet_jax.report._markup import plain_text

COLUMN_WIDTH = 3.4  # inches
LABEL_SIZE = 8.0  # points
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#007a5a"
INK, GREY, PALE = "#222222", "#666666", "#bdbdbd"

STYLE: dict[Any, Any] = {
    # DejaVu Sans, which also ships with matplotlib, has glyphs that STIX lacks.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": LABEL_SIZE,
    "ytick.labelsize": LABEL_SIZE,
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
    # Outlined glyphs look the same everywhere; fixed ids make the file reproducible.
    "svg.fonttype": "path",
    "svg.hashsalt": "hashnet_jax",
}


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A figure as PNG and SVG, with its caption and alternative text.

    Attributes:
      name: file name without extension.
      title: short title that starts the caption.
      caption: explains what the figure shows and which conventions it uses.
      alt: describes the figure, with key numbers, for readers who cannot see it.
      png: content of the PNG file, at 300 dpi.
      svg: content of the SVG file.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: bytes


def draw(
    plot: Callable[[Figure], str],
    *,
    name: str,
    title: str,
    caption: str,
    alt: str,
    height: float = 2.5,
) -> ReportFigure:
    """Draws a figure in the report's style.

    Args:
      plot: function that draws on an empty figure, and returns text to append to the caption (for
        facts that are known only once the figure is laid out), or ``""``.
      name: file name without extension.
      title: short title that starts the caption.
      caption: explains what the figure shows and which conventions it uses.
      alt: describes the figure, with key numbers, for readers who cannot see it.
      height: height in inches.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Characters missing from all fonts are drawn as boxes; the page also shows the names as
        # text.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        figure = Figure(figsize=(COLUMN_WIDTH, height))
        caption += plot(figure)
        png = _saved(figure, "png", {"Title": title})
        # Omit the date, which would make every file different.
        svg = _saved(figure, "svg", {"Title": title, "Date": None})
    return ReportFigure(name, title, caption, alt, png, svg)


def unit_axes(figure: Figure, *, xlabel: str, ylabel: str) -> Axes:
    """Creates axes whose y axis runs from 0 to 1."""
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.02), yticks=np.linspace(0, 1, 6))
    return axes


def literal(name: str, *, longest: int | None = None) -> str:
    """Escapes a name that is shown in a matplotlib figure.

    Dollar signs are escaped because matplotlib would parse the text between two of them as math,
    and characters that cannot be drawn are escaped as in
    :func:`hashnet_jax.report._markup.plain_text`.

    Args:
      name: any text.
      longest: maximum number of characters; longer names are shortened. None for no limit.

    Examples:
      >>> print(literal("from $5 to $10"))
      from \\$5 to \\$10
      >>> print(literal("a very long name", longest=7))
      a very…
    """
    plain = plain_text(name)
    if longest is not None and len(plain) > longest:
        plain = plain[: longest - 1] + "…"
    return plain.replace("$", r"\$")


def _saved(figure: Figure, form: str, metadata: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=300, metadata=metadata)
    return buffer.getvalue()
