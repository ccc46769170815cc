"""Callbacks of the training loop."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from hashnet_jax.training._state import TrainState


@runtime_checkable
class Callback(Protocol):
    """Receives what :func:`hashnet_jax.training.fit` logs.

    Only the first process calls it. An error that it raises ends training; the checkpoints saved so
    far are kept. Subclass it to define only some of the methods.

    Examples:
      >>> class PrintLoss(Callback):
      ...     def log(self, step, metrics):
      ...         if "loss" in metrics:
      ...             print(step, metrics["loss"])
      >>> PrintLoss().log(10, {"loss": 0.5})
      10 0.5
    """

    def start(self, step: int) -> None:
        """Called before the first step.

        Args:
          step: the number of steps that the latest checkpoint contains; 0 in a new run. If the run
            was killed, it may have logged later steps, which are now repeated.
        """

    def log(self, step: int, metrics: Mapping[str, float | int | None]) -> None:
        """Called after each line written to `metrics.jsonl`.

        Args:
          step: number of steps taken.
          metrics: the other entries of the line: the metrics of
            :func:`hashnet_jax.training.train_step`, or ``validation_map`` and
            ``validation_cutoff``, which is None for the whole database.
        """

    def end(self, state: TrainState, best_step: int | None) -> None:
        """Called after the last step, and again if a finished run is resumed.

        Args:
          state: the final state.
          best_step: the step with the best validation MAP; None without validation.
        """


@dataclasses.dataclass(frozen=True)
class Callbacks(Callback):
    """Calls each of several callbacks in turn."""

    each: Sequence[Callback]

    def start(self, step: int) -> None:
        for callback in self.each:
            callback.start(step)

    def log(self, step: int, metrics: Mapping[str, float | int | None]) -> None:
        for callback in self.each:
            callback.log(step, metrics)

    def end(self, state: TrainState, best_step: int | None) -> None:
        for callback in self.each:
            callback.end(state, best_step)
