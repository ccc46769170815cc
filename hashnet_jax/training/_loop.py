"""The training loop around `train_step`, and what it opens: files, callbacks and batches."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from hashnet_jax.data import Dataset
from hashnet_jax.data.pipeline import training_batches
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import Device, map_step
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.model import HashNetParams
from hashnet_jax.training._batch_watch import BatchWatch
from hashnet_jax.training._callback import Callback, Callbacks
from hashnet_jax.training._checkpoints import Checkpoints, to_stderr
from hashnet_jax.training._metrics_file import MetricsFile
from hashnet_jax.training._metrics_log import MetricsLog
from hashnet_jax.training._profiler import Profiler
from hashnet_jax.training._run_folder import RunFolder
from hashnet_jax.training._state import TrainState
from hashnet_jax.training._step import train_step
from hashnet_jax.training._step_loop import StepLoop
from hashnet_jax.training._stop_signals import catch_stop_signals


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
    profile_steps: int = 0,
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
      callbacks: called in the first process at the start, at each log and at the end, in this
        order; see :class:`hashnet_jax.training.Callback`.
      profile_steps: number of steps to profile in the first process, after the first two, which
        compile; 0 for none. The trace is written to the folder `profile/` of the run.

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
    batches = batches or _augmented_batches(
        dataset, state, augmentation=augmentation, batch_size=batch_size, seed=seed, workers=workers
    )
    with contextlib.ExitStack() as stack:
        checkpoints = Checkpoints(
            folder.path / "checkpoints", keep_best=min(validate_every, 1), run=run, say=say
        )
        stack.enter_context(contextlib.closing(checkpoints))
        state, first, file = _resume(checkpoints, state, folder, say)
        stack.enter_context(contextlib.closing(file))
        callback = Callbacks(callbacks if processes.is_first() else ())
        callback.start(first)
        if first == total:
            return _ended(callback, state, checkpoints)
        progress = stack.enter_context(Progress(total, "training", "step", done=first))
        say = progress.note(say)
        watch = BatchWatch(bits=state.params.spec.bits, say=say)
        loop = StepLoop(
            state=state,
            saved=first,
            step_fn=map_step(train_step, devices),
            stream=batches(first),
            stop=stack.enter_context(catch_stop_signals()),
            log=MetricsLog(
                file, progress, every=log_every, total_steps=total, watch=watch, callback=callback
            ),
            profiler=stack.enter_context(Profiler(folder.path, profile_steps, first, say)),
            checkpoints=checkpoints,
            checkpoint_every=checkpoint_every,
            validate=validate,
            validate_every=validate_every,
            validation_cutoff=validation_cutoff,
        )
        del state  # A reference here would keep the initial state in memory.
        loop.run()
        return _ended(callback, loop.state, checkpoints)


def _resume(
    checkpoints: Checkpoints, state: TrainState, folder: RunFolder, say: Callable[[str], object]
) -> tuple[TrainState, int, MetricsFile]:
    """Restores the latest undamaged checkpoint, if there are any checkpoints.

    Returns:
      The state, the index of the next batch, and the open file with the metrics up to that point.
    """
    restored = checkpoints.restore_latest(state)
    if restored is None:
        return state, 0, folder.open_metrics(0, say=say)
    state, position = restored
    first, sha256 = position["next_batch"], position.get("metrics_sha256")
    return state, first, folder.open_metrics(first, sha256=sha256, say=say)


def _augmented_batches(
    dataset: Dataset,
    state: TrainState,
    *,
    augmentation: str,
    batch_size: int,
    seed: int,
    workers: int,
) -> Callable[[int], Iterator[Any]]:
    """Returns a function ``start -> iterator`` over this process's rows of the training batches."""
    # Only the values are kept: a reference to the state would keep the initial one in memory.
    spec, total = state.params.spec, state.spec.total_steps

    def batches(start: int) -> Iterator[Any]:
        return training_batches(
            dataset,
            spec,
            augmentation=augmentation,
            batch_size=batch_size,
            start=start,
            stop=total,
            seed=seed,
            workers=workers,
            rows=processes.share(batch_size),
        )

    return batches


def _ended(
    callback: Callback, state: TrainState, checkpoints: Checkpoints
) -> tuple[TrainState, int | None]:
    """Calls back with the final state and the best step, and returns them."""
    best_step = checkpoints.best_step()
    callback.end(state, best_step)
    return state, best_step
