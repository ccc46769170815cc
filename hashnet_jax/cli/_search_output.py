"""Outputs search results as a table, JSON or an HTML page."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import Neighbour

# The header of a table column, and a function that formats its cell for (rank, neighbour).
_Column = tuple[str, Callable[[int, Neighbour], str]]


class Results(NamedTuple):
    """The neighbours of each query.

    Attributes:
      header: describes the search; becomes the first entries of the JSON output.
      queries: the paths to the queries.
      found: for each query, its neighbours, nearest first or by decreasing score.
      stores: the names of the stores.
    """

    header: Mapping[str, Any]
    queries: Sequence[str]
    found: Sequence[Sequence[Neighbour]]
    stores: Sequence[str]


def check_output(html: Path | None) -> None:
    """Raises a FileNotFoundError if the folder for the HTML page does not exist."""
    if html is not None and not html.absolute().parent.is_dir():
        raise FileNotFoundError(f"`html` must be in an existing folder, got {html}.")


def output(results: Results, *, as_json: bool, html: Path | None) -> None:
    """Prints results as a table or JSON, and writes an HTML page if ``html`` is not None."""
    print(_json(results) if as_json else _table(results))
    if html is not None:
        from hashnet_jax.report import write_search_page

        pairs = [
            (query, [(one.distance, one.id) for one in row])
            for query, row in zip(results.queries, results.found, strict=True)
        ]
        scores = [[one.score for one in row if one.score is not None] for row in results.found]
        is_scored = "rescored" in results.header
        write_search_page(html, pairs, results.header["bits"], scores if is_scored else None)
        print(f"page: {html}", file=sys.stderr)


def _table(results: Results) -> str:
    columns = _columns(results)
    head = "  ".join(name for name, _ in columns)
    lines = []
    for query, row in zip(results.queries, results.found, strict=True):
        lines += ["", f"query {printable(query)}", head]
        for rank, one in enumerate(row, 1):
            lines.append("  ".join(shown(rank, one) for _, shown in columns))
    return "\n".join(lines[1:])


def _columns(results: Results) -> list[_Column]:
    columns: list[_Column] = [
        ("rank", lambda rank, one: f"{rank:4}"),
        ("distance", lambda rank, one: f"{one.distance:8}"),
    ]
    if "rescored" in results.header:
        columns.append(("    score", lambda rank, one: f"{one.score:9.4g}"))
    if len(results.stores) > 1:
        width = max(5, *(len(printable(store)) for store in results.stores))
        names = [printable(store).ljust(width) for store in results.stores]
        columns.append(("store".ljust(width), lambda rank, one: names[one.store]))
    labels = [one.label for row in results.found for one in row if one.label is not None]
    if labels:
        width = max(5, *(len(printable(label)) for label in labels))
        label = "label".ljust(width)
        columns.append((label, lambda rank, one: printable(one.label or "").ljust(width)))
    return [*columns, ("picture", lambda rank, one: printable(one.id))]


def _json(results: Results) -> str:
    found = [
        {"query": query, "neighbours": [_fields(one, results.stores) for one in row]}
        for query, row in zip(results.queries, results.found, strict=True)
    ]
    return json.dumps({**results.header, "results": found}, indent=2)


def _fields(one: Neighbour, stores: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "distance": one.distance,
        "picture": one.id,
        "label": one.label,
        "store": stores[one.store],
    }
    return fields if one.score is None else fields | {"score": one.score}
