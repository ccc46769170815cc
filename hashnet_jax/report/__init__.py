"""Writes reports on finished runs, and pages that show search results.

:func:`write_report` writes a page with the protocol card, figures, tables and gallery of a run.
:func:`write_search_page` writes a page with the pictures found by a search.
:func:`write_duplicates_page` writes a page with groups of duplicates.
:func:`evaluate_files` evaluates codes from any program under every MAP convention.
"""

from hashnet_jax.report._card import protocol_card
from hashnet_jax.report._card_text import card_text
from hashnet_jax.report._duplicates_page import DuplicateTile, write_duplicates_page
from hashnet_jax.report._evaluation import evaluate_files
from hashnet_jax.report._evaluation_page import write_evaluation_page
from hashnet_jax.report._evaluation_text import evaluation_text, is_possible
from hashnet_jax.report._finished_run import FinishedRun, check_dataset, read_finished_run
from hashnet_jax.report._model_card import model_card
from hashnet_jax.report._publish import why_outdated
from hashnet_jax.report._result_file import (
    UNVERIFIED,
    bound_result,
    has_result,
    is_bound,
    read_result,
)
from hashnet_jax.report._retrieval_figures import retrieval_figures
from hashnet_jax.report._search_page import write_search_page
from hashnet_jax.report._write import write_report

__all__ = [
    "UNVERIFIED",
    "DuplicateTile",
    "FinishedRun",
    "bound_result",
    "card_text",
    "check_dataset",
    "evaluate_files",
    "evaluation_text",
    "has_result",
    "is_bound",
    "is_possible",
    "model_card",
    "protocol_card",
    "read_finished_run",
    "read_result",
    "retrieval_figures",
    "why_outdated",
    "write_duplicates_page",
    "write_evaluation_page",
    "write_report",
    "write_search_page",
]
