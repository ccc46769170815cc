"""Records SIGINT and SIGTERM during training, so that a checkpoint can be saved before stopping."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class StopSignals:
    """Stop signals received so far.

    Attributes:
      received: signal numbers, in order of arrival.
    """

    def __init__(self) -> None:
        self.received: list[int] = []

    @property
    def first(self) -> int:
        """The first signal's number, or 0 if no signal was received."""
        return self.received[0] if self.received else 0


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[StopSignals]:
    """Records the first SIGINT and the first SIGTERM; a repeated signal runs the original handler.

    Outside the main thread, where Python cannot install signal handlers, nothing is recorded.
    """
    stop = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous: dict[int, Any] = {}

    def record(number: int, frame: FrameType | None) -> None:
        stop.received.append(number)
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, record)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
