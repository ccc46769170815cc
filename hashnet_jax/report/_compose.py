"""Creates the report files for a finished run."""

from hashnet_jax.data import Dataset
from hashnet_jax.model import HashNetParams
from hashnet_jax.report._card import protocol_card
from hashnet_jax.report._code_map_figure import map_figure
from hashnet_jax.report._distance_figures import distance_figure, radius_figure
from hashnet_jax.report._finished_run import FinishedRun
from hashnet_jax.report._gallery import gallery
from hashnet_jax.report._page import Report, render_page
from hashnet_jax.report._publish import CARD, PAGE, card_file
from hashnet_jax.report._ranking_figures import precision_at_figure, precision_recall_figure
from hashnet_jax.report._relaxed_figure import histogram_figure, relaxed_codes
from hashnet_jax.report._tables import class_table, radius_table
from hashnet_jax.report._training_figures import continuation_figure, loss_figure


def compose(
    run: FinishedRun, dataset: Dataset, params: HashNetParams, *, seed: int
) -> dict[str, bytes]:
    """Creates the report files for :func:`hashnet_jax.report.write_report`.

    Returns:
      The contents of the files, keyed by file name.
    """
    report = _report(run, dataset, params, seed)
    figures = [*report.retrieval_figures, *report.training_figures]
    files = {
        **{f"figures/{figure.name}.png": figure.png for figure in figures},
        **{f"figures/{figure.name}.svg": figure.svg for figure in figures},
        PAGE: render_page(report).encode(),
    }
    return {CARD: card_file(report.card, files), **files}


def _report(run: FinishedRun, dataset: Dataset, params: HashNetParams, seed: int) -> Report:
    counts = run.evaluation.counts
    return Report(
        card=protocol_card(run),
        retrieval_figures=[
            precision_recall_figure(counts),
            precision_at_figure(counts),
            radius_figure(counts),
            distance_figure(counts),
        ],
        training_figures=[
            loss_figure(run),
            continuation_figure(run),
            histogram_figure(run, relaxed_codes(run, dataset, params, seed=seed)),
            map_figure(run, dataset, seed=seed),
        ],
        radius_table=radius_table(run),
        class_table=class_table(run, dataset),
        queries=gallery(run, dataset, seed=seed),
    )
