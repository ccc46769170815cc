"""Renders parts of the report page as HTML: card, figures, tables and gallery."""

import base64
from collections.abc import Sequence

from hashnet_jax.report._card_text import Rows
from hashnet_jax.report._figures import ReportFigure
from hashnet_jax.report._gallery import Query, Result, Shown
from hashnet_jax.report._markup import breakable, image, text
from hashnet_jax.report._tables import Cell, Table


def alarm_box(alarms: Sequence[str]) -> str:
    """Returns a warning if the codes have collapsed, otherwise ``""``."""
    if not alarms:
        return ""
    return (
        '<div class="alarm"><strong>⚠ Collapsed codes.</strong> '
        f"{text('; '.join(alarms))}. Many images share a code, so results depend on how ties are "
        "broken. Do not rely on a MAP without its worst and best values.</div>"
    )


def card_section(heading: str, rows: Rows) -> str:
    """Renders a section of the protocol card."""
    body = "".join(_card_row(term, description) for term, description in rows)
    return f"<section><h3>{text(heading)}</h3>\n<table><tbody>\n{body}</tbody></table></section>\n"


def figure_elements(figures: Sequence[ReportFigure], *, first: int) -> str:
    """Renders figures, numbered from ``first``, with their captions."""
    return "".join(
        f'<figure id="{figure.name}"><img src="{_svg_uri(figure.svg)}" alt="{text(figure.alt)}">\n'
        f"<figcaption><strong>Figure {number}. {text(figure.title)}.</strong> "
        f"{text(figure.caption)}</figcaption></figure>\n"
        for number, figure in enumerate(figures, first)
    )


def sortable_table(table: Table) -> str:
    """Renders a sortable table in a scrollable box; the column headers are buttons."""
    heads = "".join(
        f'<th scope="col"><button type="button">{text(name)}</button></th>'
        for name in table.columns
    )
    body = "".join(_table_row(cells, table.digits) for cells in table.rows)
    # The caption is outside the scrollable box to stay in view. It also labels the focusable box.
    return (
        f'<p class="caption" id="{table.name}-caption">{text(table.caption)}</p>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{table.name}-caption">\n'
        f'<table id="{table.name}" aria-labelledby="{table.name}-caption">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def query_article(query: Query, multi_label: bool) -> str:
    """Renders a query in the gallery together with its results."""
    shown, kind = query.shown, "" if multi_label else "class "
    results = "".join(_tile(rank, result) for rank, result in enumerate(query.results, 1))
    return (
        f'<article class="query"><div class="asked">'
        f"{image(shown.image, f'Query: image {shown.index}, {kind}{_labels(shown)}')}"
        f"<div><h3>{kind}{_label_elements(shown)}</h3>{_file_name(shown)}"
        f"<p>image {shown.index:,}</p>"
        f"<p>AP {query.average_precision:.3f}</p></div></div>\n"
        f'<ol class="results">\n{results}</ol>\n<p class="ties">{text(query.ties)}</p>'
        "</article>\n"
    )


def _card_row(term: str, description: str) -> str:
    alarmed = ' class="alarmed"' if description.startswith("COLLAPSED") else ""
    return (
        f'<tr{alarmed}><th scope="row">{breakable(term)}</th><td>{breakable(description)}</td>'
        "</tr>\n"
    )


def _svg_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _table_row(cells: Sequence[Cell], digits: int) -> str:
    value, shown = _table_cell(cells[0], digits)
    rest = "".join("<td{}>{}</td>".format(*_table_cell(cell, digits)) for cell in cells[1:])
    return f'<tr><th scope="row"{value}>{shown}</th>{rest}</tr>\n'


def _table_cell(cell: Cell, digits: int) -> tuple[str, str]:
    """Returns a table cell's HTML attribute for sorting, and the text to show."""
    if isinstance(cell, str):
        return "", breakable(cell)
    shown = f"{cell:.{digits}f}" if isinstance(cell, float) else f"{cell:,}"
    return f' data-value="{cell!r}"', shown


def _tile(rank: int, result: Result) -> str:
    shown = result.shown
    kind, mark = ("hit", "✓ hit") if result.hit else ("miss", "✗ miss")
    return (
        f'<li class="{kind}">{image(shown.image, f"Result {rank}: {_labels(shown)}")}'
        f'<div class="facts"><span class="mark {kind}">{mark}</span>'
        f'<span class="distance">d {result.distance}</span></div>'
        f'<div class="labels">{_label_elements(shown)}</div>{_file_name(shown)}</li>\n'
    )


def _labels(shown: Shown) -> str:
    return ", ".join(shown.labels) or "no label"


def _label_elements(shown: Shown) -> str:
    return ", ".join(map(breakable, shown.labels)) or "no label"


def _file_name(shown: Shown) -> str:
    """Renders the last component of a path, with the full path as a tooltip."""
    if not shown.name:
        return ""
    last = shown.name.rstrip("/").rpartition("/")[2]
    return f'<p class="file" title="{text(shown.name)}">{breakable(last)}</p>'
