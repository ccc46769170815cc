"""Draws MAP against the number of bits, one panel for each ranking."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.baselines import BASELINES
from experiments.comparison._methods import COSINE, RECIPES, STANDARDIZED
from experiments.comparison._report import Comparison, mean_and_spread
from hashnet_jax.distributed.files import write_whole

TITLES = {"hamming": "Hamming distance", "asymmetric": "Query logits against codes"}

# Okabe and Ito's colours, which are distinguishable with any colour vision.
_RECIPE_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")
_RIVAL_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#000000")
_MARKERS = "osD^vPX*"
_GREY = "#888888"


class _Line(NamedTuple):
    """Arguments for matplotlib that identify a method."""

    color: str
    marker: str
    linestyle: str
    linewidth: float


def write_figure(comparison: Comparison, folder: Path) -> list[str]:
    """Writes `map.png` and `map.svg`, and returns their names.

    Raises:
      ModuleNotFoundError: if matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from hashnet_jax.report._figures import STYLE

    names = []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 3.4))
        draw(comparison, figure)
        for form in ("png", "svg"):
            metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
            names.append(f"map.{form}")
            write_whole(folder / names[-1], lambda file, data=buffer: file.write(data.getvalue()))
    return names


def draw(comparison: Comparison, figure: Any) -> None:
    """Draws the panels and one legend, whose order is that of the lines at the last code length."""
    panels = figure.subplots(1, len(TITLES), sharey=True, squeeze=False)[0]
    methods = list(dict.fromkeys(name for name, _ in comparison.results))
    lines = {name: _line(name, methods) for name in methods}
    means: dict[str, float] = {}
    for panel, (ranking, title) in zip(panels, TITLES.items(), strict=True):
        values = comparison.values(ranking)
        for name in methods:
            points = [mean_and_spread(values[name, k]) for k in comparison.bits]
            means.setdefault(name, points[-1][0])
            _draw_line(panel, comparison.bits, points, lines[name], name)
        panel.set(title=title, xlabel="Bits", xticks=list(comparison.bits))
    panels[0].set_ylabel(f"MAP@{comparison.study.cutoff or 'all'}")
    handles = {handle.get_label(): handle for handle in panels[0].get_legend_handles_labels()[0]}
    ordered = sorted(methods, key=lambda name: -means[name])
    figure.legend(
        [handles[name] for name in ordered], ordered, loc="outside right center", frameon=False
    )


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
