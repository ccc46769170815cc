"""The training loop around the pure step: batches, signals, metrics, validation, checkpoints."""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax

from hashnet_jax.data import Dataset
from hashnet_jax.data.pipeline import training_batches
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import Device, map_step
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.model import HashNetParams, ModelSpec
from hashnet_jax.training._checkpoints import Checkpoints
from hashnet_jax.training._metrics_log import MetricsLog
from hashnet_jax.training._run_folder import RunFolder
from hashnet_jax.training._state import TrainState
from hashnet_jax.training._step import train_step
from hashnet_jax.training._stop_signals import StopSignals, catch_stop_signals


class Interrupted(Exception):
    """Raised when training has received SIGINT (Ctrl-C) or SIGTERM and saved its state.

    Attributes:
      signal_number: number of the signal.

    Examples:
      >>> raise Interrupted(120, signal.SIGTERM)
      Traceback (most recent call last):
      ...
      hashnet_jax.training._loop.Interrupted: stopped by SIGTERM; saved at step 120.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; saved at step {step}.")
        self.signal_number = signal_number


def fit(
    state: TrainState,
    dataset: Dataset,
    folder: RunFolder,
    *,
    augmentation: str,
    batch_size: int,
    seed: int,
    devices: Sequence[Device],
    checkpoint_every: int,
    log_every: int = 10,
    validate: Callable[[HashNetParams], float] | None = None,
    validate_every: int = 0,
    workers: int = 0,
    batches: Callable[[int], Iterator[Any]] | None = None,
) -> tuple[TrainState, int | None]:
    """Trains from the latest checkpoint in ``folder``, or else from ``state``, to the last step.

    If killed at any point and called again on the same devices, it reaches the same parameters, bit
    for bit on CPU and on GPU with deterministic kernels.

    Args:
      state: an initial :class:`hashnet_jax.training.TrainState`; it is copied, not donated.
      dataset: :class:`hashnet_jax.data.Dataset`.
      folder: an open :class:`hashnet_jax.training.RunFolder`.
      augmentation: a name in ``hashnet_jax.data.augmentation.AUGMENTATIONS``.
      batch_size: size of the global batch, a multiple of the number of devices.
      seed: seed for data order and augmentation, >= 0.
      devices: from :func:`hashnet_jax.distributed.devices.local_devices`.
      checkpoint_every: number of steps between checkpoints; the last step is always saved.
      log_every: number of steps between lines in `metrics.jsonl`.
      validate: function ``params -> MAP`` on the validation queries, or None.
      validate_every: number of steps between validations; 0 for never.
      workers: number of worker processes that load batches; 0 uses threads in this process.
      batches: function ``start -> iterator`` over batches ``start``, ``start + 1``, ..., where
        batch t depends only on t; None for the augmented images of ``dataset``.

    Returns:
      ``(state, best_step)``: the final state, and the step with the best validation MAP (None
      without validation).

    Raises:
      Interrupted: on SIGINT or SIGTERM, after saving.
      FloatingPointError: if the loss is not finite; the message names the step, and earlier
        checkpoints are kept.
    """
    total = state.spec.total_steps
    # Steps donate the buffers of their input state; copying keeps the caller's valid.
    state = jax.tree.map(lambda leaf: leaf.copy(), state)
    with contextlib.ExitStack() as stack:
        checkpoints = Checkpoints(folder.path / "checkpoints", keep_best=1 if validate_every else 0)
        stack.enter_context(contextlib.closing(checkpoints))
        state, first = _resume(checkpoints, state)
        if first == total:
            return state, checkpoints.best_step()
        if batches is None:
            batches = partial(
                _augmented_batches,
                dataset,
                state.params.spec,
                augmentation=augmentation,
                batch_size=batch_size,
                stop=total,
                seed=seed,
                workers=workers,
            )
        stream = batches(first)
        step_fn = map_step(train_step, devices)
        file = stack.enter_context(folder.open_metrics(first))
        stop = stack.enter_context(catch_stop_signals())
        progress = stack.enter_context(Progress(total, "training", "step", done=first))
        loop = _Loop(
            state=state,
            saved=first,
            step_fn=step_fn,
            stream=stream,
            stop=stop,
            log=MetricsLog(file, progress, every=log_every, total_steps=total),
            checkpoints=checkpoints,
            checkpoint_every=checkpoint_every,
            validate=validate,
            validate_every=validate_every,
        )
        del state  # A reference here would keep the first state in memory.
        loop.run()
        return loop.state, checkpoints.best_step()


def _resume(checkpoints: Checkpoints, state: TrainState) -> tuple[TrainState, int]:
    """Restores the latest checkpoint and its next batch number, or returns ``state`` and 0."""
    latest = checkpoints.latest_step()
    if latest is None:
        return state, 0
    state, position = checkpoints.restore(state, latest)
    return state, position["next_batch"]


def _augmented_batches(
    dataset: Dataset,
    spec: ModelSpec,
    start: int,
    *,
    augmentation: str,
    batch_size: int,
    stop: int,
    seed: int,
    workers: int,
) -> Iterator[Any]:
    """Returns this process's rows of the training batches ``start`` .. ``stop - 1``."""
    return training_batches(
        dataset,
        spec,
        augmentation=augmentation,
        batch_size=batch_size,
        start=start,
        stop=stop,
        seed=seed,
        workers=workers,
        rows=processes.share(batch_size),
    )


@dataclasses.dataclass
class _Loop:
    """Runs the steps from the latest checkpoint to the last.

    Attributes:
      state: the current state. Nothing else may refer to it: each step donates its buffers.
      saved: step of the latest checkpoint, or 0.
    """

    state: TrainState
    saved: int
    step_fn: Callable[[Any, Any], tuple[Any, Any]]
    stream: Iterator[Any]
    stop: StopSignals
    log: MetricsLog
    checkpoints: Checkpoints
    checkpoint_every: int
    validate: Callable[[HashNetParams], float] | None
    validate_every: int

    def run(self) -> None:
        """Runs all remaining steps, saving when due."""
        total = self.state.spec.total_steps
        batch = self._next_batch()
        stopping = self._request_stop()
        for step in range(self.saved + 1, total + 1):
            # All processes stop at the same step, whichever of them received the signal.
            if stopping():
                self._save(step - 1)
                raise Interrupted(step - 1, stopping())
            # Requested before this step, so that the answer arrives while the device computes.
            following = self._next_batch() if step < total else None
            stopping = self._request_stop()
            self.state, metrics = self.step_fn(self.state, batch)
            self.log.add(step, metrics)
            validation_map = self._validate(step)
            if validation_map is not None or step % self.checkpoint_every == 0 or step == total:
                self._save(step, validation_map)
            batch = following
        # A signal during the last step counts too.
        if number := processes.maximum(self.stop.first):
            raise Interrupted(total, number)

    def _next_batch(self) -> Any:
        """Returns the next batch, or None if a stop signal has ended the workers loading it."""
        try:
            return next(self.stream)
        except Exception:
            # A signal sent to the whole process group reaches grain's workers as well.
            if self.stop.received:
                return None
            raise

    def _request_stop(self) -> Callable[[], int]:
        """Asks whether any process has received a stop signal; see processes.request_maximum."""
        return processes.request_maximum(lambda: self.stop.first)

    def _validate(self, step: int) -> float | None:
        """Validates if due, and logs the MAP."""
        if not self.validate or not self.validate_every or step % self.validate_every:
            return None
        self.log.flush()
        validation_map = self.validate(self.state.params)
        # Logged before the checkpoint, so that a kill in between repeats both step and line.
        self.log.write({"step": step, "validation_map": validation_map})
        return validation_map

    def _save(self, step: int, validation_map: float | None = None) -> None:
        """Saves the state after ``step``, unless it has already been saved."""
        self.log.flush()
        if step > self.saved:
            self.checkpoints.save(
                self.state, position={"next_batch": step}, validation_map=validation_map
            )
        self.saved = step
