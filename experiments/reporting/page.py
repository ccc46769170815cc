"""The page of the report: one HTML file that needs no other, and no network."""

import base64
import string
from html import escape
from pathlib import Path

from reporting.card import card_sections, describe_convention

ASSETS = Path(__file__).parent / "assets"


def render_page(card, retrieval_figures, training_figures, tables, queries):
    """The page as HTML.

    Args:
      card: see :func:`reporting.card.protocol_card`.
      retrieval_figures, training_figures: of :class:`reporting.figures.ReportFigure`.
      tables: :class:`reporting.tables.Table` by its name, ``"classes"`` and ``"radii"``.
      queries: of :class:`reporting.gallery.Query`.

    Returns:
      The text of the file. A policy in it forbids the browser to load anything from elsewhere.
    """
    data, retrieval = card["data"], card["retrieval"]
    heading = f"{data['dataset']}, {card['codes']['bits']} bits"
    name = f"MAP@{retrieval['cutoff'] or 'all'}"
    shares = "shares a label" if data["multi_label"] else "has the class"
    after = len(retrieval_figures) + 1
    template = string.Template((ASSETS / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{heading}: {name} = {retrieval['expected']:.4f}"),
        css=(ASSETS / "report.css").read_text(encoding="utf-8"),
        script=(ASSETS / "report.js").read_text(encoding="utf-8"),
        heading=escape(heading),
        result=_result(name, retrieval),
        alarm=_alarm(card["codes"]["alarms"]),
        card="".join(_card_section(*section) for section in card_sections(card)),
        retrieval_figures=_figures(retrieval_figures, 1),
        training_figures=_figures(training_figures, after),
        radius_table=_table(tables["radii"]),
        class_table=_table(tables["classes"]),
        gallery_lead=(
            f"{len(queries)} queries from the worst to the best: ranked by average precision and "
            "cut into parts of one size, one drawn from each. Beside each its first "
            f"{len(queries[0].results)} results, nearest first; equal distances in an order "
            "drawn by lot."
        ),
        hit_means=f"the result {shares} {'with' if data['multi_label'] else 'of'} the query",
        gallery="".join(_query(query, data["multi_label"]) for query in queries),
        footer=escape(
            f"hashnet_jax {card['provenance']['versions']['hashnet_jax']} · weights sha256 "
            f"{card['provenance']['model_sha256'][:16]}… · the figures as PNG and SVG are in the "
            "folder figures/, the card is card.json."
        ),
    )


def _result(name, retrieval):
    by, no_hit = describe_convention(retrieval)
    convention = (
        f"The mean over {retrieval['queries']:,} queries, expected over the orders of ties: from "
        f"{retrieval['worst']:.4f} at worst to {retrieval['best']:.4f} at best. Average precision "
        f"is divided by {by}. Queries without a hit: {retrieval['queries_without_hit']:.6g}, "
        f"{no_hit}."
    )
    return (
        f'<p class="result"><span class="name">{name}</span> '
        f'<span class="value">{retrieval["expected"]:.4f}</span></p>\n'
        f'<p class="convention">{escape(convention)}</p>'
    )


def _alarm(alarms):
    if not alarms:
        return ""
    return (
        '<div class="alarm"><strong>⚠ Collapsed codes.</strong> '
        f"{escape('; '.join(alarms))}. Many images share a code, so that the order of ties "
        "decides: read no number of this page without its band.</div>"
    )


def _card_section(heading, rows):
    def row(term, description):
        alarmed = ' class="alarmed"' if description.startswith("COLLAPSED") else ""
        return (
            f'<tr{alarmed}><th scope="row">{escape(term)}</th><td>{escape(description)}</td></tr>\n'
        )

    body = "".join(row(*pair) for pair in rows)
    return (
        f"<section><h3>{escape(heading)}</h3>\n<table><tbody>\n{body}</tbody></table></section>\n"
    )


def _figures(figures, first):
    return "".join(
        f'<figure id="{figure.name}"><img src="{_uri(figure.svg)}" alt="{escape(figure.alt)}">\n'
        f"<figcaption><strong>Figure {number}. {escape(figure.title)}.</strong> "
        f"{escape(figure.caption)}</figcaption></figure>\n"
        for number, figure in enumerate(figures, first)
    )


def _uri(svg):
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _table(table):
    heads = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>'
        for name in table.columns
    )

    def cell(value):
        if isinstance(value, str):
            return "", escape(value)
        shown = f"{value:.{table.digits}f}" if isinstance(value, float) else f"{value:,}"
        return f' data-value="{value!r}"', shown

    def row(first, *rest):
        value, shown = cell(first)
        cells = "".join("<td{}>{}</td>".format(*cell(each)) for each in rest)
        return f'<tr><th scope="row"{value}>{shown}</th>{cells}</tr>\n'

    body = "".join(row(*cells) for cells in table.rows)
    # Its caption stays put where the table scrolls, and names the box for the keyboard's sake.
    return (
        f'<p class="caption" id="{table.name}-caption">{escape(table.caption)}</p>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{table.name}-caption">\n'
        f'<table id="{table.name}" aria-labelledby="{table.name}-caption">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def _query(query, multi_label):
    labels = ", ".join(query.labels) or "no label"
    if not multi_label:
        labels = f"class {labels}"
    results = "".join(_tile(rank, result) for rank, result in enumerate(query.results, 1))
    return (
        f'<article class="query"><div class="asked">'
        f"{_picture(query.image, f'Query: image {query.index}, {labels}')}"
        f"<div><h3>{escape(labels)}</h3><p>image {query.index:,}</p>"
        f"<p>AP {query.average_precision:.3f}</p></div></div>\n"
        f'<ol class="results">\n{results}</ol>\n<p class="ties">{escape(query.ties)}</p>'
        "</article>\n"
    )


def _tile(rank, result):
    labels = ", ".join(result.labels) or "no label"
    kind, mark = ("hit", "✓ hit") if result.hit else ("miss", "✗ miss")
    return (
        f'<li class="{kind}">{_picture(result.image, f"Result {rank}: {labels}")}'
        f'<div class="facts"><span class="mark {kind}">{mark}</span>'
        f'<span class="distance">d {result.distance}</span></div>'
        f'<div class="labels">{escape(labels)}</div></li>\n'
    )


def _picture(image, alt):
    kind = ' class="pixelated"' if image.pixelated else ""
    return (
        f'<img{kind} src="{image.uri}" width="{image.width}" height="{image.height}" '
        f'alt="{escape(alt)}">'
    )
