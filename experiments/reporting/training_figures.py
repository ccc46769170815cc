"""Figures of the training: losses, and the continuation."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from reporting.figures import BLUE, INK, VERMILION, draw, label_ends


def loss_figure(run):
    """The loss of relaxed and of binary codes over training."""
    steps, relaxed, binary = _series(run, "loss", "binary_loss")

    def plot(figure):
        axes = figure.subplots()
        axes.set(xlabel="Training step", ylabel="Pairwise loss of the batch")
        axes.plot(steps, binary, color=VERMILION)
        axes.plot(steps, relaxed, color=BLUE)
        axes.set_xlim(0, steps[-1])
        axes.set_ylim(0, 1.05 * max(relaxed.max(), binary.max()))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        ends = [
            (binary[-1], f"binary codes\nsgn($z$): {binary[-1]:.3f}", VERMILION),
            (relaxed[-1], f"relaxed codes\ntanh($\\beta z$): {relaxed[-1]:.3f}", BLUE),
        ]
        label_ends(axes, steps[-1], ends)

    return draw(
        "loss",
        "Loss with and without sgn",
        "The weighted pairwise loss of the training batch, for relaxed codes tanh(βz), which are "
        "trained, and for the binary codes sgn(z) of the same network, which are used.",
        f"Line chart of two losses over {steps[-1]:,} steps. Relaxed codes: {relaxed[0]:.3f} to "
        f"{relaxed[-1]:.3f}. Binary codes: {binary[0]:.3f} to {binary[-1]:.3f}.",
        plot,
    )


def continuation_figure(run):
    """Beta, and below it the quantization gap, over training."""
    steps, beta, gap = _series(run, "beta", "quantization_gap")

    def plot(figure):
        upper, lower = figure.subplots(2, sharex=True)
        # Finite betas only: the limit has no place on the axis.
        upper.step(steps, np.where(np.isfinite(beta), beta, np.nan), where="post", color=INK)
        upper.set_ylabel("$\\beta$")
        lower.plot(steps, gap, color=BLUE)
        lower.set_xlabel("Training step")
        lower.set_ylabel("Quantization\ngap", linespacing=0.95)
        figure.align_ylabels()
        upper.set_xlim(0, steps[-1])
        for axes, end, text in ((upper, beta, f"{beta[-1]:.2f}"), (lower, gap, f"{gap[-1]:.3f}")):
            axes.set_ylim(0, 1.08 * max(axes.dataLim.y1, 0.1))
            label_ends(axes, steps[-1], [(end[-1], text, axes.lines[0].get_color())])

    return draw(
        "continuation",
        "Continuation",
        "Above: β, the slope of the relaxation tanh(βz). Below: the quantization gap, the mean "
        "distance of |h| from 1 over the relaxed codes h of the batch; 0 for binary codes.",
        f"Two line charts over {steps[-1]:,} steps. Beta goes from {beta[0]:.3g} to "
        f"{beta[-1]:.3g}; the quantization gap from {gap[0]:.3f} to {gap[-1]:.3f}.",
        plot,
    )


def _series(run, *names):
    columns = ([line[name] for line in run.history] for name in ("step", *names))
    return [np.asarray(column) for column in columns]
