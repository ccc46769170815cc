"""Progress of long work: a bar with rate and time left on a terminal, plain lines when piped."""

import sys
import time

from tqdm import tqdm

from hashnet_jax import processes

LINES = 20  # plain lines for one piece of work, besides the last


class Progress:
    """Counts units of work and shows how it goes; of several processes the first one shows it.

    Args:
      total: units in all.
      what: of the work, e.g. ``"training"``.
      unit: name of a unit, e.g. ``"step"``.
      done: units that an earlier run has done.
    """

    def __init__(self, total, what, unit, *, done=0):
        self._total, self._what, self._unit = total, what, unit
        self._done = self._first = done
        self._start = time.monotonic()
        self._every = max(1, total // LINES)
        self._bar, self._quiet = None, not processes.is_first()
        if not self._quiet and sys.stderr.isatty():
            self._bar = tqdm(
                total=total, desc=what, unit=unit, initial=done, dynamic_ncols=True, leave=True
            )

    def update(self, count=1, **numbers):
        """``count`` units more are done; ``numbers`` are shown beside them."""
        before, self._done = self._done, self._done + count
        shown = {name: f"{number:.4g}" for name, number in numbers.items()}
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(count)
        elif not self._quiet and (
            self._done // self._every > before // self._every or self._done >= self._total
        ):
            seconds = time.monotonic() - self._start
            rate = (self._done - self._first) / max(seconds, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            line = (
                f"{self._what}: {self._done}/{self._total} {self._unit}s, {rate:.3g} "
                f"{self._unit}s/s, {left:.0f} s left"
            )
            numbers = "".join(f", {name} {number}" for name, number in shown.items())
            print(line + numbers, file=sys.stderr, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()
