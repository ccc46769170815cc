"""Runs the training steps: batches, stop signals, metrics, validation and checkpoints."""

import dataclasses
import signal
from collections.abc import Callable, Iterator
from typing import Any

import jax

from hashnet_jax.distributed import processes
from hashnet_jax.model import HashNetParams
from hashnet_jax.training._checkpoints import Checkpoints
from hashnet_jax.training._metrics_log import MetricsLog
from hashnet_jax.training._profiler import Profiler
from hashnet_jax.training._state import TrainState
from hashnet_jax.training._stop_signals import StopSignals


class Interrupted(Exception):
    """Raised when training has received SIGINT (Ctrl-C) or SIGTERM and saved its state.

    Attributes:
      signal_number: number of the received signal.

    Examples:
      >>> raise Interrupted(120, signal.SIGTERM)
      Traceback (most recent call last):
      ...
      hashnet_jax.training._step_loop.Interrupted: stopped by SIGTERM; saved at step 120.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; saved at step {step}.")
        self.signal_number = signal_number


@dataclasses.dataclass
class StepLoop:
    """Runs all training steps after the latest checkpoint.

    Attributes:
      state: the current state. No other reference to it may exist, because each step donates the
        state's buffers.
      saved: step of the latest checkpoint, or 0.
    """

    state: TrainState
    saved: int
    step_fn: Callable[[Any, Any], tuple[Any, Any]]
    stream: Iterator[Any]
    stop: StopSignals
    log: MetricsLog
    profiler: Profiler
    checkpoints: Checkpoints
    checkpoint_every: int
    validate: Callable[[HashNetParams], float] | None
    validate_every: int
    validation_cutoff: int | None

    def run(self) -> None:
        """Runs all remaining steps, and saves a checkpoint whenever one is due."""
        total = self.state.spec.total_steps
        batch = self._next_batch()
        stopping = self._request_stop()
        for step in range(self.saved + 1, total + 1):
            # All processes stop at the same step, whichever of them received the signal.
            if stopping():
                self._save(step - 1)
                raise Interrupted(step - 1, stopping())
            with self.profiler.step(step, self._wait):
                # Requested before this step, so that the answer arrives while the device computes.
                following = self._next_batch() if step < total else None
                stopping = self._request_stop()
                self.state, metrics = self.step_fn(self.state, batch)
                self.log.add(step, metrics)
            validation_map = self._validate(step)
            if validation_map is not None or step % self.checkpoint_every == 0 or step == total:
                self._save(step, validation_map)
            batch = following
        # A signal received during the last step counts too.
        if number := processes.maximum(self.stop.first):
            raise Interrupted(total, number)

    def _next_batch(self) -> Any:
        """Returns the next batch, or None if a stop signal has ended the batch-loading workers."""
        try:
            return next(self.stream)
        except Exception:
            # A signal sent to the whole process group reaches grain's workers as well.
            if self.stop.received:
                return None
            raise

    def _wait(self) -> None:
        """Waits until the device has computed the state."""
        jax.block_until_ready(self.state.params)

    def _request_stop(self) -> Callable[[], int]:
        """Starts checking whether any process has received a stop signal, without waiting.

        See :func:`hashnet_jax.distributed.processes.request_maximum`.
        """
        return processes.request_maximum(lambda: self.stop.first)

    def _validate(self, step: int) -> float | None:
        """Computes and logs the validation MAP, if validation is due after ``step``."""
        if not self.validate or not self.validate_every or step % self.validate_every:
            return None
        self.log.flush()
        validation_map = self.validate(self.state.params)
        # Logged before saving: if the run is killed in between, both the step and its line are
        # repeated.
        result = {"validation_map": validation_map, "validation_cutoff": self.validation_cutoff}
        self.log.write(step, result)
        return validation_map

    def _save(self, step: int, validation_map: float | None = None) -> None:
        """Saves the state after ``step``, unless it has already been saved."""
        metrics_sha256 = self.log.sync()
        if step > self.saved:
            position = {"next_batch": step, "metrics_sha256": metrics_sha256}
            self.checkpoints.save(self.state, position=position, validation_map=validation_map)
        self.saved = step
