"""Renders the report page: one self-contained HTML file that needs no network access."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hashnet_jax.report._card import Card
from hashnet_jax.report._card_text import card_sections, describe_convention, map_name
from hashnet_jax.report._figures import ReportFigure
from hashnet_jax.report._gallery import Query
from hashnet_jax.report._markup import asset, breakable, render, text
from hashnet_jax.report._page_parts import (
    alarm_box,
    card_section,
    figure_elements,
    query_article,
    sortable_table,
)
from hashnet_jax.report._tables import Table


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything shown on a report page.

    Attributes:
      card: protocol card, from :func:`hashnet_jax.report.protocol_card`.
      retrieval_figures: plots of the retrieval results, which are shown first.
      training_figures: plots of the training and of the codes.
      radius_table: precision and recall per radius.
      class_table: MAP per class.
      queries: queries in the gallery, worst first.
    """

    card: Card
    retrieval_figures: Sequence[ReportFigure]
    training_figures: Sequence[ReportFigure]
    radius_table: Table
    class_table: Table
    queries: Sequence[Query]


def render_page(report: Report) -> str:
    """Renders the page as HTML, with a security policy that blocks all external resources."""
    card = report.card
    data, retrieval, provenance = card["data"], card["retrieval"], card["provenance"]
    heading, name = run_heading(card), map_name(retrieval)
    parts = {
        "title": text(f"{name} {retrieval['expected']:.4f} · {heading} · {provenance['run']}"),
        "css": asset("base.css") + asset("report.css"),
        "script": asset("report.js"),
        "run": breakable(provenance["run"]),
        "heading": breakable(heading),
        "result": _result(name, retrieval),
        "alarm": alarm_box(card["codes"]["alarms"]),
        "card": "".join(card_section(*section) for section in card_sections(card)),
        "retrieval_figures": figure_elements(report.retrieval_figures, first=1),
        "training_figures": figure_elements(
            report.training_figures, first=len(report.retrieval_figures) + 1
        ),
        "radius_table": sortable_table(report.radius_table),
        "class_table": sortable_table(report.class_table),
        "gallery_lead": _gallery_lead(report.queries),
        "hit_means": "the result shares a label with the query"
        if data["multi_label"]
        else "the result has the same class as the query",
        "gallery": "".join(query_article(query, data["multi_label"]) for query in report.queries),
        "footer": breakable(_footer(provenance)),
    }
    return render("report.html", parts)


def run_heading(card: Card) -> str:
    """Returns a heading with the data set, backbone, bits and seed of the run."""
    return (
        f"{card['data']['dataset']}, {card['training']['backbone']}, {card['codes']['bits']} bits, "
        f"seed {card['data']['seed']}"
    )


def _result(name: str, retrieval: Mapping[str, Any]) -> str:
    by, no_hit = describe_convention(retrieval)
    convention = (
        f"Mean over {retrieval['queries']:,} queries, averaged over all tie-breaking orders "
        f"({retrieval['worst']:.4f} for the worst, {retrieval['best']:.4f} for the best). Average "
        f"precision is divided by {by}. Queries without a hit: "
        f"{retrieval['queries_without_hit']:.6g}, {no_hit}."
    )
    return (
        f'<p class="result"><span class="name">{name}</span> '
        f'<span class="value">{retrieval["expected"]:.4f}</span></p>\n'
        f'<p class="convention">{text(convention)}</p>'
    )


def _gallery_lead(queries: Sequence[Query]) -> str:
    return (
        f"{len(queries)} queries, from worst to best. All queries were ranked by average precision "
        "(AP) and split into groups of equal size. The gallery shows the worst query of the first "
        "group and a random query from each of the others, with their first "
        f"{len(queries[0].results)} results, nearest first. Ties are broken at random."
    )


def _footer(provenance: Mapping[str, Any]) -> str:
    return (
        f"hashnet_jax {provenance['versions']['hashnet_jax']} · SHA-256 of the weights "
        f"{provenance['model_sha256'][:16]}… · The figures are in figures/ as PNG and SVG, and "
        "the card is in card.json."
    )
