"""Records a profile of a few training steps."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from hashnet_jax.distributed import processes

# The first step compiles. The second may compile again, if the state that a step returns is placed
# differently from the initial or restored state.
SKIPPED = 2

FOLDER = "profile"


class Profiler:
    """Traces a run's steps from the third on, and writes the trace after the last of them.

    Both files of a trace have the events of the host and of the devices: TensorBoard with its
    profile plugin opens `*.xplane.pb`, and Perfetto opens `perfetto_trace.json.gz`. With several
    processes, only the first one writes a trace.

    Args:
      folder: path of the run folder; traces are written to `profile/` in it.
      steps: number of steps to trace, >= 0; fewer if the run ends earlier.
      done: number of steps already taken by an earlier process.
      say: called with a line of text that names the folder, or says why there is no trace.
    """

    def __init__(self, folder: Path, steps: int, done: int, say: Callable[[str], object]) -> None:
        self._folder, self._say = folder / FOLDER, say
        first, steps = done + SKIPPED + 1, steps if processes.is_first() else 0
        self._left = range(first, first + steps)
        self._started: int | None = None

    @contextlib.contextmanager
    def step(self, step: int, wait: Callable[[], object]) -> Iterator[None]:
        """Traces the ``with`` block, if the step is one of those to trace.

        Args:
          step: number of the step; steps must be passed in order.
          wait: waits until the devices have finished all steps so far.
        """
        if step not in self._left:
            yield
            return
        if self._started is None:
            wait()
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._started = step
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        self._left = self._left[1:]
        if not self._left:
            wait()
            self._write(step)

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *error: object) -> None:
        """Writes the trace if the run has ended before the last step to trace."""
        if not self._left:
            return
        if self._started is not None:
            self._write(self._left[0] - 1)
        else:
            self._say(
                f"note: no steps were profiled, because the run ended before step {self._left[0]}; "
                f"its first {SKIPPED} steps include compilation."
            )

    def _write(self, last: int) -> None:
        jax.profiler.stop_trace()
        self._say(f"profile of steps {self._started} to {last}: {self._folder}")
