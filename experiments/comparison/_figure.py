"""Draws MAP against the number of bits, with a row per protocol and a column per ranking."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.baselines import BASELINES
from experiments.comparison._methods import COSINE, RECIPES, STANDARDIZED
from experiments.comparison._report import Comparison, mean_and_spread
from hashnet_jax.distributed.files import write_whole

TITLES = {"hamming": "Hamming distance", "asymmetric": "Query logits against codes"}

# Okabe and Ito's colours, which are distinguishable with any colour vision, and a dark purple.
_RECIPE_COLOURS = ("#d55e00", "#0072b2", "#542788")
_RIVAL_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#000000")
_MARKERS = "osD^vPX*"
_GREY = "#888888"


class _Line(NamedTuple):
    """Arguments for matplotlib that identify a method."""

    color: str
    marker: str
    linestyle: str
    linewidth: float


def write_figure(comparisons: Sequence[Comparison], folder: Path) -> list[str]:
    """Writes `map.png` and `map.svg`, and returns their names.

    Raises:
      ModuleNotFoundError: if matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from hashnet_jax.report._figures import STYLE

    names = []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.6 + 2.8 * len(comparisons)))
        draw(comparisons, figure)
        for form in ("png", "svg"):
            metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
            names.append(f"map.{form}")
            write_whole(folder / names[-1], lambda file, data=buffer: file.write(data.getvalue()))
    return names


def draw(comparisons: Sequence[Comparison], figure: Any) -> None:
    """Draws the panels and one legend, in the order of the lines at the last code length."""
    rows = figure.subplots(len(comparisons), len(TITLES), sharex=True, sharey="row", squeeze=False)
    methods = list(dict.fromkeys(name for each in comparisons for name, _ in each.results))
    lines = {name: _line(name, methods) for name in methods}
    for comparison, row in zip(comparisons, rows, strict=True):
        for panel, ranking in zip(row, TITLES, strict=True):
            _draw_panel(panel, comparison, ranking, lines)
        classes = ", unseen classes" if comparison.study.has_unseen_classes else ""
        row[0].set_ylabel(f"MAP@{comparison.study.cutoff or 'all'}{classes}")
    for panel, title in zip(rows[0], TITLES.values(), strict=True):
        panel.set_title(title)
    for panel in rows[-1]:
        panel.set(xlabel="Bits", xticks=list(comparisons[0].bits))
    # The last row contains all methods.
    drawn = dict(zip(*reversed(rows[-1][0].get_legend_handles_labels()), strict=True))
    values = comparisons[-1].values("hamming")
    means = {name: mean_and_spread(values[name, comparisons[-1].bits[-1]])[0] for name in drawn}
    ordered = sorted(drawn, key=lambda name: -means[name])
    figure.legend(
        [drawn[name] for name in ordered], ordered, loc="outside right center", frameon=False
    )


def _draw_panel(
    panel: Any, comparison: Comparison, ranking: str, lines: Mapping[str, _Line]
) -> None:
    values = comparison.values(ranking)
    for name in dict.fromkeys(name for name, _ in comparison.results):
        points = [mean_and_spread(values[name, k]) for k in comparison.bits]
        _draw_line(panel, comparison.bits, points, lines[name], name)


def _draw_line(
    panel: Any,
    bits: Sequence[int],
    points: Sequence[tuple[float, float]],
    line: _Line,
    name: str,
) -> None:
    if name == COSINE:
        panel.axhline(points[0][0], label=name, color=line.color, linestyle=line.linestyle)
        return
    means, spreads = zip(*points, strict=True)
    panel.errorbar(bits, means, yerr=spreads, label=name, capsize=2, markersize=4, **line._asdict())


def _line(name: str, methods: Sequence[str]) -> _Line:
    """Returns thick lines for HashNet, thin ones for rivals, and grey dashes for the rest."""
    base, dashes = name.removesuffix(STANDARDIZED), ":" if name.endswith(STANDARDIZED) else "-"
    if base in RECIPES:
        place = list(RECIPES).index(base)
        return _Line(_RECIPE_COLOURS[place % len(_RECIPE_COLOURS)], "o", dashes, 2.2)
    if name == COSINE:
        return _Line(_GREY, "", "--", 1.0)
    if name in BASELINES:
        return _Line(_GREY, _MARKERS[list(BASELINES).index(name) % len(_MARKERS)], "--", 0.9)
    rivals = list(dict.fromkeys(each.removesuffix(STANDARDIZED) for each in methods))
    rivals = [each for each in rivals if each not in (*RECIPES, *BASELINES, COSINE)]
    place = rivals.index(base)
    colour = _RIVAL_COLOURS[place % len(_RIVAL_COLOURS)]
    return _Line(colour, _MARKERS[1:][place % (len(_MARKERS) - 1)], dashes, 1.2)
