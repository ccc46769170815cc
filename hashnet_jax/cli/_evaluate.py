"""Evaluates codes from any program, and outputs their MAP as text, JSON, HTML and figures."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hashnet_jax.codes import check_positive_int
from hashnet_jax.data.retrieval_files import RetrievalFiles
from hashnet_jax.distributed.files import make_folder, write_whole
from hashnet_jax.distributed.printing import printable
from hashnet_jax.metrics import DistanceCounts
from hashnet_jax.report import (
    evaluate_files,
    evaluation_text,
    is_possible,
    retrieval_figures,
    write_evaluation_page,
)


def print_evaluation(
    files: RetrievalFiles,
    *,
    cutoffs: Sequence[int] = (),
    conventions: Sequence[str] = (),
    reported: str | None = None,
    as_json: bool = False,
) -> tuple[dict[str, Any], DistanceCounts]:
    """Prints the MAP of codes under every convention for computing MAP.

    Args:
      files: codes and labels of the queries and the database.
      cutoffs: values of R for which to compute MAP@R, in addition to MAP over the whole database.
      conventions: names of the tools whose conventions to show; by default, all conventions.
      reported: a published MAP; the conventions that could have produced it are marked.
      as_json: whether to print JSON instead of text.

    Returns:
      The evaluation card, and the distance counts; :func:`write_outputs` needs both.
    """
    card, counts = evaluate_files(files, cutoffs=cutoffs, conventions=conventions)
    if reported is not None:
        for entry in card["map"]:
            entry["reported_is_possible"] = is_possible(reported, entry)
    if as_json:
        print(json.dumps(_without_nan(card), indent=2))
    else:
        print(evaluation_text(card, reported=reported))
    return card, counts


def check_outputs(cutoffs: Sequence[int], reported: str | None, html: Path | None) -> None:
    """Checks the options before any file is read.

    Raises:
      FileNotFoundError: if the parent folder of ``html`` does not exist.
      ValueError: if a cut-off is < 1, or the reported MAP is not in 0..1.
    """
    for cutoff in cutoffs:
        check_positive_int("cutoff", cutoff)
    if reported is not None and not _is_share(reported):
        raise ValueError(
            f"`reported` must be a MAP in 0..1, such as 0.638, got {reported!r}. Divide a "
            "percentage by 100."
        )
    if html is not None and not html.absolute().parent.is_dir():
        raise FileNotFoundError(f"`html` must be in an existing folder, got {html}.")


def write_outputs(
    card: dict[str, Any], counts: DistanceCounts, html: Path | None, figures: Path | None
) -> None:
    """Writes the HTML page and the folder of figures, if requested, and prints their paths."""
    if html is None and figures is None:
        return
    drawn = retrieval_figures(counts)
    if figures is not None:
        make_folder(figures)
        for figure in drawn:
            for suffix, content in (("png", figure.png), ("svg", figure.svg)):
                path = figures / f"{figure.name}.{suffix}"
                write_whole(path, lambda file, content=content: file.write(content))
        print(f"figures: {printable(figures)}", file=sys.stderr)
    if html is not None:
        write_evaluation_page(html, card, drawn)
        print(f"page: {printable(html)}", file=sys.stderr)


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _without_nan(value: Any) -> Any:
    """Replaces NaN, which JSON does not support, with null."""
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
