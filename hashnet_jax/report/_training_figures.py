"""Draws the losses, beta and the quantization gap over the course of training."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hashnet_jax.report._figures import (
    BLUE,
    INK,
    LABEL_SIZE,
    VERMILION,
    ReportFigure,
    draw,
)
from hashnet_jax.report._finished_run import FinishedRun
from hashnet_jax.report._labels import label_ends

# Early spikes would dominate the scale. An axis that they would stretch by more than half ends
# slightly above this percentile instead, and the peaks are marked.
SPIKE_PERCENTILE = 95


def loss_figure(run: FinishedRun) -> ReportFigure:
    """Draws the losses of relaxed and binary codes over the course of training."""
    steps, relaxed, binary = _series(run, "loss", "binary_loss")
    top = axis_top(relaxed, binary)

    def plot(figure: Figure) -> str:
        axes = figure.subplots()
        axes.set(xlabel="Training step", ylabel="Pairwise loss (weighted mean)")
        style = _line_style(steps)
        axes.plot(steps, binary, color=VERMILION, **style)
        axes.plot(steps, relaxed, color=BLUE, **style)
        axes.set_xlim(0, steps[-1])
        axes.set_ylim(0, top)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        ends = [
            (float(binary[-1]), f"binary codes\nsgn($z$): {binary[-1]:.3f}", VERMILION),
            (float(relaxed[-1]), f"relaxed codes\ntanh($\\beta z$): {relaxed[-1]:.3f}", BLUE),
        ]
        label_ends(axes, float(steps[-1]), ends)
        cut = 0
        for name, values, color in (("binary", binary, VERMILION), ("relaxed", relaxed, BLUE)):
            if np.nanmax(values) > top:
                _mark_peak(axes, steps, values, name, color, row=cut)
                cut += 1
        return " Triangles mark peaks that are cut off." if cut else ""

    return draw(
        plot,
        name="loss",
        title="Loss with and without sgn",
        caption="Pairwise loss, a weighted mean over the pairs in the training batch: for the "
        "relaxed codes tanh(βz), which training optimizes, and for the binary codes sgn(z) of the "
        "same network, which retrieval uses.",
        alt=f"Line chart of two losses over {steps[-1]:,.0f} steps. Relaxed codes: "
        f"{relaxed[0]:.3f} to {relaxed[-1]:.3f}. Binary codes: {binary[0]:.3f} to "
        f"{binary[-1]:.3f}; at most {binary.max():.3f}.",
    )


def continuation_figure(run: FinishedRun) -> ReportFigure:
    """Draws beta and the quantization gap over the course of training."""
    steps, beta, gap = _series(run, "beta", "quantization_gap")

    def plot(figure: Figure) -> str:
        upper, lower = figure.subplots(2, sharex=True)
        style = _line_style(steps)
        # Draw finite betas only, since infinity cannot be drawn.
        finite = np.where(np.isfinite(beta), beta, np.nan)
        upper.step(steps, finite, where="post", color=INK, **style)
        upper.set_ylabel("$\\beta$")
        lower.plot(steps, gap, color=BLUE, **style)
        lower.set_xlabel("Training step")
        lower.set_ylabel("Quantization\ngap", linespacing=0.95)
        figure.align_ylabels()
        upper.set_xlim(0, steps[-1])
        for axes, end, text in ((upper, beta, f"{beta[-1]:.2f}"), (lower, gap, f"{gap[-1]:.3f}")):
            axes.set_ylim(0, 1.08 * max(axes.dataLim.y1, 0.1))
            label_ends(axes, float(steps[-1]), [(float(end[-1]), text, axes.lines[0].get_color())])
        return ""

    return draw(
        plot,
        name="continuation",
        title="Continuation",
        caption="Top: β, the slope of the relaxation tanh(βz). Bottom: the quantization gap, the "
        "mean distance of |h| from 1 over the relaxed codes h in the batch; 0 for binary codes.",
        alt=f"Two line charts over {steps[-1]:,.0f} steps. Beta goes from {beta[0]:.3g} to "
        f"{beta[-1]:.3g}, the quantization gap from {gap[0]:.3f} to {gap[-1]:.3f}.",
    )


def axis_top(*series: Float[np.ndarray, " T"]) -> float:
    """Returns an upper limit for an axis that starts at 0, ignoring a few spikes.

    Examples:
      >>> flat, spiked = np.ones(100), np.r_[40.0, np.ones(99)]
      >>> axis_top(flat), axis_top(spiked)
      (1.05, 1.25)
    """
    values = np.concatenate(series)
    values = values[np.isfinite(values)]
    if not len(values):
        return 1.0
    usual, top = 1.25 * float(np.percentile(values, SPIKE_PERCENTILE)), float(values.max())
    return usual if top > 1.5 * usual > 0 else 1.05 * max(top, 1e-6)


def _mark_peak(
    axes: Axes,
    steps: Float[np.ndarray, " T"],
    values: Float[np.ndarray, " T"],
    name: str,
    color: str,
    *,
    row: int,
) -> None:
    """Marks the peak at the top of the axes, and prints its step and value at the top right."""
    peak = int(np.nanargmax(values))
    axes.plot(steps[peak], axes.get_ylim()[1], "^", color=color, markersize=4, clip_on=False)
    axes.annotate(
        f"{name}: peak {values[peak]:.2f} at step {steps[peak]:,.0f}",
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, -10 * row),
        textcoords="offset points",
        ha="right",
        va="top",
        color=color,
        fontsize=LABEL_SIZE,
    )


def _line_style(steps: Float[np.ndarray, " T"]) -> dict[str, Any]:
    """Returns a style with a marker if there is only one step, since a line needs two points."""
    return {"marker": "o", "markersize": 3} if len(steps) == 1 else {}


def _series(run: FinishedRun, *names: str) -> list[Float[np.ndarray, " T"]]:
    return [np.asarray([line[name] for line in run.history], float) for name in ("step", *names)]
