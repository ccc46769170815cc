"""Suppresses tracebacks that libraries print from their background threads.

When the disk is full, orbax and tensorstore print up to 70 tracebacks from the threads that write a
checkpoint. The libraries also raise the error in the main thread, where the command reports it in
one line.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any

_shown: list[Callable[[Any], object]] = []  # the hook that was installed before ours


def hold_back() -> None:
    """Suppresses background errors until the process exits.

    Tensorstore's threads may still raise errors after the command has finished.
    """
    for library in ("absl", "asyncio"):
        logging.getLogger(library).addFilter(_has_no_traceback)
    if sys.unraisablehook is not _show_others:
        _shown[:] = [sys.unraisablehook]
        sys.unraisablehook = _show_others


def _has_no_traceback(record: logging.LogRecord) -> bool:
    return not (record.exc_info and record.levelno <= logging.ERROR)


def _show_others(unraisable: Any) -> None:
    """Shows unraisable exceptions, except those from writes that orbax has abandoned."""
    if str(unraisable.exc_value) != "Event loop is closed":
        _shown[0](unraisable)
