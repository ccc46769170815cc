"""The training loop around `train_step`: batches, signals, metrics, validation and checkpoints."""

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
from hashnet_jax.training._batch_watch import BatchWatch
from hashnet_jax.training._callback import Callback, Callbacks
from hashnet_jax.training._checkpoints import Checkpoints, to_stderr
from hashnet_jax.training._metrics_log import MetricsLog
from hashnet_jax.training._run_folder import RunFolder
from hashnet_jax.training._state import TrainState
from hashnet_jax.training._step import train_step
from hashnet_jax.training._stop_signals import StopSignals, catch_stop_signals


class Interrupted(Exception):
    """Raised when training has received SIGINT (Ctrl-C) or SIGTERM and saved its state.

    Attributes:
      signal_number: number of the received signal.

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
    validation_cutoff: int | None = None,
    workers: int = 0,
    batches: Callable[[int], Iterator[Any]] | None = None,
    run: str = "",
    say: Callable[[str], object] = to_stderr,
    callbacks: Sequence[Callback] = (),
) -> tuple[TrainState, int | None]:
    """Trains from the latest checkpoint in ``folder``, or else from ``state``, to the last step.

    If the latest checkpoint is damaged, training continues from the latest undamaged one.

    A run that is killed at any point and resumed on the same devices reaches the same parameters as
    an uninterrupted run, bit for bit (on GPU, only with deterministic kernels).

    Args:
      state: an initial :class:`hashnet_jax.training.TrainState`; it is copied, not donated.
      dataset: the data set, :class:`hashnet_jax.data.Dataset`.
      folder: an open :class:`hashnet_jax.training.RunFolder`.
      augmentation: name of an augmentation in ``hashnet_jax.data.augmentation.AUGMENTATIONS``.
      batch_size: size of the global batch, a multiple of the number of devices.
      seed: seed for data order and augmentation, >= 0.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`.
      checkpoint_every: number of steps between checkpoints; the last step is always saved.
      log_every: number of steps between lines in `metrics.jsonl`.
      validate: function ``params -> MAP`` on the validation queries, or None.
      validate_every: number of steps between validations; 0 for never.
      validation_cutoff: R of the MAP@R that ``validate`` returns, logged together with the MAP;
        None for the whole database.
      workers: number of worker processes that load batches; 0 uses threads in this process.
      batches: function ``start -> iterator`` over batches ``start``, ``start + 1``, ..., where
        batch t depends only on t; None for the augmented images of ``dataset``.
      run: text that identifies the run, e.g. a hash of its config. Checkpoints written by a
        different run are refused.
      say: called in the first process with a line of text if a checkpoint is damaged or cannot be
        verified, or if the metrics show that the codes have collapsed or that no pairs are similar.
      callbacks: called in the first process at each log and at the end, in this order; see
        :class:`hashnet_jax.training.Callback`.

    Returns:
      ``(state, best_step)``: the final state, and the step with the best validation MAP (None
      without validation).

    Raises:
      Interrupted: on SIGINT or SIGTERM, after saving.
      FloatingPointError: if the loss or the gradient norm is not finite; the message names the
        step, and earlier checkpoints are kept.
      DamagedFile: if all checkpoints or `metrics.jsonl` are damaged.
    """
    total = state.spec.total_steps
    # Each step donates the buffers of its input state, so copy the caller's state to keep it valid.
    state = jax.tree.map(lambda leaf: leaf.copy(), state)
    with contextlib.ExitStack() as stack:
        checkpoints = Checkpoints(
            folder.path / "checkpoints", keep_best=min(validate_every, 1), run=run, say=say
        )
        stack.enter_context(contextlib.closing(checkpoints))
        state, first, metrics_sha256 = _resume(checkpoints, state)
        file = folder.open_metrics(first, sha256=metrics_sha256, say=say)
        stack.enter_context(contextlib.closing(file))
        callback = Callbacks(callbacks if processes.is_first() else ())
        callback.start(first)
        if first == total:
            callback.end(state, best_step := checkpoints.best_step())
            return state, best_step
        batches = batches or partial(
            _augmented_batches,
            dataset,
            state.params.spec,
            augmentation=augmentation,
            batch_size=batch_size,
            stop=total,
            seed=seed,
            workers=workers,
        )
        progress = stack.enter_context(Progress(total, "training", "step", done=first))
        watch = BatchWatch(bits=state.params.spec.bits, say=progress.note(say))
        loop = _Loop(
            state=state,
            saved=first,
            step_fn=map_step(train_step, devices),
            stream=batches(first),
            stop=stack.enter_context(catch_stop_signals()),
            log=MetricsLog(
                file, progress, every=log_every, total_steps=total, watch=watch, callback=callback
            ),
            checkpoints=checkpoints,
            checkpoint_every=checkpoint_every,
            validate=validate,
            validate_every=validate_every,
            validation_cutoff=validation_cutoff,
        )
        del state  # A reference here would keep the initial state in memory.
        loop.run()
        callback.end(loop.state, best_step := checkpoints.best_step())
        return loop.state, best_step


def _resume(checkpoints: Checkpoints, state: TrainState) -> tuple[TrainState, int, str | None]:
    """Restores the latest undamaged checkpoint, if there are any checkpoints.

    Returns:
      The state, the index of the next batch, and the hash of the metrics up to that point.
    """
    restored = checkpoints.restore_latest(state)
    if restored is None:
        return state, 0, None
    state, position = restored
    return state, position["next_batch"], position.get("metrics_sha256")


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
            # Requested before this step, so that the answer arrives while the device is computing.
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
