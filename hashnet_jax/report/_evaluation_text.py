"""Formats an evaluation card as text and as tables."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hashnet_jax.report._card_text import Rows, alarm_line, map_name, sections_text
from hashnet_jax.report._evaluation import EvaluationCard
from hashnet_jax.report._tables import Cell, Table

_FILES = {
    "query": "Query codes",
    "database": "Database codes",
    "query_labels": "Query labels",
    "database_labels": "Database labels",
}
_DIVISORS = {"hits": "hits within R", "min": "min(R, relevant)", "cutoff": "R"}
_NO_HIT = {"zero": "counts as 0", "drop": "is dropped"}
_COLUMNS = f"{'':10} {'expected':>9} {'worst':>9} {'best':>9}  {'AP divided by':17} no hit"

TIES = (
    "Worst, expected and best values over all ways of breaking ties. A tool that sorts by "
    "distance breaks ties in some order, so its MAP may lie anywhere between worst and best. "
    "scikit-learn "
    "counts tied codes as one rank, so its value agrees only if there are no ties."
)


def evaluation_text(card: EvaluationCard, *, reported: str | None = None) -> str:
    """Formats an evaluation card as text for a terminal.

    Args:
      card: the card, from :func:`hashnet_jax.report.evaluate_files`.
      reported: a published MAP to compare with, e.g. "0.638"; see :func:`is_possible`.
    """
    # These lines are not wrapped, so that paths are not broken.
    lines = [f"{term + ':':<16} {file}" for term, file in _file_rows(card)]
    lines += ["", _COLUMNS]
    for entry in card["map"]:
        lines += _map_lines(entry, reported)
    if reported is not None and not any(is_possible(reported, entry) for entry in card["map"]):
        lines += [
            "",
            f"{reported} is not possible under any of these conventions. Try other cut-offs.",
        ]
    lines += ["", *textwrap.wrap(TIES, 78), *sections_text(_sections(card))]
    return "\n".join(lines)


def is_possible(reported: str, entry: Mapping[str, Any]) -> bool:
    """Returns whether a published, rounded MAP is consistent with the range from worst to best.

    Examples:
      >>> entry = {"worst": 0.6312, "best": 0.6418}
      >>> is_possible("0.64", entry), is_possible("0.643", entry)
      (True, False)
    """
    tolerance = 0.5 * 10.0 ** -len(reported.partition(".")[2])
    return bool(entry["worst"] - tolerance <= float(reported) <= entry["best"] + tolerance)


def evaluation_sections(card: EvaluationCard) -> list[tuple[str, Rows]]:
    """Formats an evaluation card, without the MAP, as rows of text; see :func:`card_sections`."""
    return [("Files", list(_file_rows(card))), *_sections(card)]


def _sections(card: EvaluationCard) -> list[tuple[str, Rows]]:
    return [
        ("Data", list(_data_rows(card))),
        (f"Within Hamming radius {card['radius']['radius']}", _radius_rows(card)),
        ("Precision@N, mean over queries and tie orders", _precision_rows(card)),
        ("Codes", list(_code_rows(card))),
    ]


def map_table(card: EvaluationCard) -> Table:
    """Returns a table of MAP for each cut-off, divisor and treatment of queries without a hit."""
    rows: list[tuple[Cell, ...]] = [
        (
            map_name(entry),
            *(float(entry[name]) for name in ("expected", "worst", "best")),
            _DIVISORS[entry["divisor"]],
            _NO_HIT[entry["no_hit"]],
            _count(entry["queries_without_hit"]),
            ", ".join(entry["used_by"]) or "none",
        )
        for entry in card["map"]
    ]
    return Table(
        "map",
        TIES,
        (
            *("MAP", "Expected", "Worst", "Best", "AP divided by", "A query without a hit"),
            *("Queries without a hit", "Used by"),
        ),
        rows,
    )


def _count(expected: float) -> Cell:
    """Returns an expected count as an integer, or as a float if ties make it fractional."""
    return int(expected) if float(expected).is_integer() else float(expected)


def _map_lines(entry: Mapping[str, Any], reported: str | None) -> Iterator[str]:
    name, divisor, no_hit = map_name(entry), entry["divisor"], entry["no_hit"]
    values = " ".join(f"{entry[value]:9.4f}" for value in ("expected", "worst", "best"))
    yield f"{name:10} {values}  {_DIVISORS[divisor]:17} {_NO_HIT[no_hit]}"
    if entry["used_by"]:
        yield f"{'':10} as in {', '.join(entry['used_by'])}"
    if reported is not None and is_possible(reported, entry):
        yield f"{'':10} <- {reported} is possible"


def _file_rows(card: EvaluationCard) -> Iterator[tuple[str, str]]:
    for name, file in card["files"].items():
        yield _FILES[name], f"{file['name']} ({file['encoding']})"


def _data_rows(card: EvaluationCard) -> Iterator[tuple[str, str]]:
    several = "multi-hot labels" if card["multi_hot"] else "class ids"
    yield "Queries", f"{card['queries']:,} codes of {card['bits']} bits"
    yield "Database", f"{card['database']:,} codes, {card['classes']:,} classes, {several}"
    yield "Relevant pairs", f"{card['relevant_share']:.4f} of all, the precision of chance"
    missed: dict[str, float] = {}
    for entry in card["map"]:
        missed.setdefault(map_name(entry), entry["queries_without_hit"])
    for name, number in missed.items():
        yield f"Without a hit, {name}", f"{number:.6g} of {card['queries']:,} queries"
    for note in card["notes"]:
        yield "Note", note


def _radius_rows(card: EvaluationCard) -> Rows:
    at = card["radius"]
    return [
        (
            "Precision, mean over queries",
            f"{at['precision_empty_counts_0']:.4f}; {at['queries_with_empty_ball']:,} of "
            f"{card['queries']:,} queries retrieve nothing and count as 0",
        ),
        (
            "Precision, mean over others",
            f"{at['precision_empty_dropped']:.4f}; queries that retrieve nothing are dropped",
        ),
        ("Precision, pooled", f"{at['precision_pooled']:.4f} of all retrieved pairs are relevant"),
        ("Recall, mean over queries", f"{at['recall']:.4f}"),
        ("Recall, pooled", f"{at['recall_pooled']:.4f} of all relevant pairs are retrieved"),
    ]


def _precision_rows(card: EvaluationCard) -> Rows:
    curve = card["precision_at"]
    return [
        (f"N = {rank:,}", f"{value:.4f}")
        for rank, value in zip(curve["ranks"], curve["precision"], strict=True)
    ]


def _code_rows(card: EvaluationCard) -> Iterator[tuple[str, str]]:
    codes, twins = card["codes"], card["twins"]
    imbalance = np.abs(np.asarray(codes["ones"]) - 0.5).mean()
    yield "Distinct codes", "{distinct:,} of {codes:,} in the database".format(**codes)
    yield "Constant bits", f"{codes['constant_bits']} of {card['bits']}"
    yield "Mean imbalance of bits", f"{imbalance:.3f} (at most 0.5)"
    yield "Collapse alarm", alarm_line(codes)
    yield (
        "Queries also in the database",
        f"{twins['same_code']:,} of {twins['queries']:,} by code, "
        f"{twins['same_code_and_labels']:,} by code and labels",
    )
