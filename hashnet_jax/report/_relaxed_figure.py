"""Draws the histogram of |h|, the absolute values of relaxed codes at the end of training."""

import jax
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hashnet_jax.codes import relax
from hashnet_jax.data import Dataset
from hashnet_jax.data.pipeline import fill, image_batches
from hashnet_jax.model import HashNetParams, logits, preprocess
from hashnet_jax.report._figures import BLUE, GREY, LABEL_SIZE, PALE, ReportFigure, draw
from hashnet_jax.report._finished_run import FinishedRun

HISTOGRAM_QUERIES = 1000  # enough to see the shape
NEARLY_BINARY = 0.9  # threshold on |h|


def relaxed_codes(
    run: FinishedRun, dataset: Dataset, params: HashNetParams, *, seed: int = 0
) -> Float[np.ndarray, "Q K"]:
    """Computes the queries' relaxed codes h at the run's final beta.

    Args:
      run: the finished run.
      dataset: the run's data set.
      params: the run's network.
      seed: seed for sampling ``HISTOGRAM_QUERIES`` queries if there are more.

    Returns:
      The codes of at most ``HISTOGRAM_QUERIES`` queries.
    """
    indices = np.random.default_rng(seed).permutation(run.query.indices)[:HISTOGRAM_QUERIES]
    size, batch_size = params.spec.resize, min(100, len(indices))

    @jax.jit
    def relax_images(
        p: HashNetParams, images: Array, beta: Float[Array, ""] | float
    ) -> Float[Array, "B K"]:
        return relax(logits(p, preprocess(images, p.spec)), beta)

    codes = []
    for images in image_batches(dataset.source, indices, size, batch_size=batch_size):
        full = fill(images, batch_size)
        codes.append(np.asarray(relax_images(params, full, run.end["beta"]))[: len(images)])
    return np.concatenate(codes)


def histogram_figure(run: FinishedRun, relaxed: Float[np.ndarray, "Q K"]) -> ReportFigure:
    """Draws a histogram of |h| over all elements of the relaxed codes."""
    size = np.abs(relaxed).ravel()
    mean, near = float(size.mean()), float((size >= NEARLY_BINARY).mean())
    counts, edges = np.histogram(size, bins=40, range=(0, 1))
    share = 100 * counts / len(size)

    def plot(figure: Figure) -> str:
        axes = figure.subplots()
        axes.stairs(share, edges, fill=True, color=BLUE, alpha=0.25)
        axes.stairs(share, edges, color=BLUE, linewidth=1.2)
        axes.set(
            xlabel=f"$|h|$ = $|$tanh($\\beta z$)$|$, $\\beta$ = {run.end['beta']:.3g}",
            ylabel="Code elements (%)",
            xlim=(0, 1),
            ylim=(0, 1.25 * share.max()),  # headroom for the note
        )
        _note_mean(axes, mean, f"mean {mean:.3f}\n{near:.0%} at {NEARLY_BINARY} or more")
        return ""

    return draw(
        plot,
        name="relaxed_codes",
        title="Relaxed codes",
        caption=f"Histogram of |h| over all {relaxed.shape[1]} elements of the relaxed codes of "
        f"{len(relaxed):,} queries, at the final β. Binary codes have |h| = 1.",
        alt="Histogram of the absolute values of relaxed codes, from 0 to 1. The mean is "
        f"{mean:.3f}; {near:.0%} of the elements are at least {NEARLY_BINARY}, and "
        f"{np.mean(size < 0.5):.0%} are below 0.5.",
    )


def _note_mean(axes: Axes, mean: float, note: str) -> None:
    side = -1 if mean > 0.5 else 1
    axes.axvline(mean, color=PALE, linewidth=0.8, zorder=0)
    axes.annotate(
        note,
        (mean, axes.get_ylim()[1]),
        xytext=(4 * side, -2),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        va="top",
        fontsize=LABEL_SIZE,
        linespacing=0.95,
        color=GREY,
    )
