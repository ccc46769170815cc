"""Writes the results of an evaluation as a self-contained HTML page."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.report._evaluation import EvaluationCard
from hashnet_jax.report._evaluation_text import evaluation_sections, map_table
from hashnet_jax.report._markup import asset, render, text

if TYPE_CHECKING:
    from hashnet_jax.report._figures import ReportFigure


def write_evaluation_page(
    path: str | os.PathLike[str], card: EvaluationCard, figures: "Sequence[ReportFigure]"
) -> None:
    """Writes the HTML page of an evaluation atomically.

    Args:
      path: file to write the page to.
      card: the card, from :func:`hashnet_jax.report.evaluate_files`.
      figures: the figures to show, from :func:`hashnet_jax.report.retrieval_figures`.
    """
    # Imported here because it needs matplotlib.
    from hashnet_jax.report._page_parts import (
        alarm_box,
        card_section,
        figure_elements,
        sortable_table,
    )

    heading = (
        f"{card['queries']:,} queries against {card['database']:,} codes of {card['bits']} bits"
    )
    parts = {
        "title": text(f"MAP of {heading}"),
        "css": asset("base.css") + asset("report.css"),
        "script": asset("report.js"),
        "heading": text(heading),
        "alarm": alarm_box(card["codes"]["alarms"]),
        "map_table": sortable_table(map_table(card)),
        "figures": figure_elements(figures, first=1),
        "card": "".join(card_section(*section) for section in evaluation_sections(card)),
    }
    page = render("evaluation.html", parts)
    write_whole(Path(path), lambda file: file.write(page.encode()))
