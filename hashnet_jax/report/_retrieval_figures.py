"""Draws the retrieval figures of a report, for codes from any program."""

from typing import TYPE_CHECKING

from hashnet_jax.metrics import DistanceCounts

if TYPE_CHECKING:
    from hashnet_jax.report._figures import ReportFigure


def retrieval_figures(counts: DistanceCounts) -> "list[ReportFigure]":
    """Plots precision-recall, precision@N, metrics per Hamming radius, and distance histograms.

    Args:
      counts: counts of database codes at each distance from each query,
        :class:`hashnet_jax.metrics.DistanceCounts` of NumPy arrays ``[Q, K+1]``.

    Returns:
      The figures, each as PNG and SVG with a caption.

    Raises:
      ModuleNotFoundError: if matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "figures require matplotlib. Install it: pip install 'hashnet_jax[experiments]'."
        ) from error
    from hashnet_jax.report._distance_figures import distance_figure, radius_figure
    from hashnet_jax.report._ranking_figures import precision_at_figure, precision_recall_figure

    return [
        precision_recall_figure(counts),
        precision_at_figure(counts),
        radius_figure(counts),
        distance_figure(counts),
    ]
