"""Writes reports on finished runs, and pages of search results.

:func:`write_report` writes the report: protocol card, figures, tables and gallery on one page.
:func:`write_search_page` writes a page of the pictures found by a search.
"""

from hashnet_jax.report._card import protocol_card
from hashnet_jax.report._card_text import card_text
from hashnet_jax.report._finished_run import FinishedRun, read_finished_run
from hashnet_jax.report._search_page import write_search_page
from hashnet_jax.report._write import write_report

__all__ = [
    "FinishedRun",
    "card_text",
    "protocol_card",
    "read_finished_run",
    "write_report",
    "write_search_page",
]
