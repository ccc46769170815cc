"""Reports the progress of long-running work, as a bar on a terminal or as lines in a log."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from hashnet_jax.distributed import processes

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts finished units of work and reports progress on stderr.

    On a terminal, it shows a bar with the rate and the time left. Elsewhere, it prints at most one
    line every ``SECONDS_BETWEEN_LINES``, and a last line when all units are done, so a short job
    prints a single line. With several processes, only the first one reports.

    Args:
      total: number of units.
      what: name of the work, e.g. ``"training"``.
      unit: name of a unit, e.g. ``"step"``.
      done: number of units already finished by an earlier run.

    Examples:
      >>> with Progress(64, "encoding", "image") as progress:
      ...     for _ in range(2):
      ...         progress.update(32)
    """

    def __init__(self, total: int, what: str, unit: str, *, done: int = 0) -> None:
        self._total, self._what, self._unit = total, what, unit
        self._done = self._done_before = done
        self._start = self._last_line = time.monotonic()
        self._is_shown = processes.is_first()
        self._bar: Any = None
        if self._is_shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, desc=what, unit=unit, initial=done, dynamic_ncols=True, leave=True
            )

    def update(self, count: int = 1, numbers: Mapping[str, float] | None = None) -> None:
        """Counts ``count`` more units as done.

        Args:
          count: number of units.
          numbers: values to show next to the progress, e.g. ``{"loss": 0.7}``.
        """
        self._done += count
        shown = {name: f"{number:.4g}" for name, number in (numbers or {}).items()}
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(count)
        elif self._is_shown:
            now = time.monotonic()
            if self._done >= self._total or now - self._last_line >= SECONDS_BETWEEN_LINES:
                self._last_line = now
                print(self._line(now, shown), file=sys.stderr, flush=True)

    def extend(self, count: int) -> None:
        """Adds units to the total if there is more work than expected."""
        self._total += count
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()

    def note(self, say: Callable[[str], object]) -> Callable[[str], object]:
        """Returns a function that passes a line to ``say`` without corrupting the progress bar.

        With several processes, the returned function has no effect except in the first process.
        """

        def said(line: str) -> None:
            if self._bar is not None:
                with self._bar.external_write_mode():
                    say(line)
            elif self._is_shown:
                say(line)

        return said

    def _line(self, now: float, shown: Mapping[str, str]) -> str:
        rate = (self._done - self._done_before) / max(now - self._start, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        parts = [
            f"{self._what}: {self._done}/{self._total} {self._unit}s",
            f"{rate:.3g} {self._unit}s/s",
            f"{left:.0f} s left",
            *(f"{name} {number}" for name, number in shown.items()),
        ]
        return ", ".join(parts)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
