"""The loop around the pure step: batches, progress, metrics, validation and checkpoints."""

import contextlib
import json
import math
import signal
import threading

import jax

from hashnet_jax import parallel, processes
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.data.pipeline import training_batches
from hashnet_jax.progress import Progress


class Interrupted(Exception):
    """Training was asked to stop (Ctrl-C, SIGTERM) and has saved its state."""

    def __init__(self, step, signal_number):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; saved at step {step}.")
        self.signal_number = signal_number


def fit(
    state,
    dataset,
    folder,
    *,
    augmentation,
    batch_size,
    seed,
    devices,
    checkpoint_every,
    log_every=10,
    validate=None,
    validate_every=0,
    workers=0,
    batches=None,
):
    """Trains from the latest checkpoint in ``folder``, or from ``state``, to the last step.

    Killed at any moment and called again, it ends with the same parameters, bit for bit on CPU
    (a GPU needs deterministic kernels for that).

    Args:
      state: a fresh :class:`hashnet_jax.state.TrainState`.
      dataset: :class:`hashnet_jax.data.datasets.Dataset`.
      folder: an entered :class:`hashnet_jax.run_folder.RunFolder`.
      augmentation: a name in ``hashnet_jax.data.augment.AUGMENTATIONS``.
      batch_size: of the global batch, a multiple of the number of devices.
      seed: of the order of the data.
      devices: from :func:`hashnet_jax.parallel.local_devices`.
      checkpoint_every: steps between checkpoints; the last step is always saved.
      log_every: steps between lines of `metrics.jsonl`.
      validate: ``params -> MAP`` on the validation queries, or None.
      validate_every: steps between validations; 0 for never.
      workers: processes that load batches.
      batches: ``start -> iterator`` of the batches from number ``start`` on, batch t a function of
        t; None for the augmented images of ``dataset``.

    Returns:
      ``(state, best_step)``: the last state, and the step that was best on validation (None
      without validation).

    Raises:
      Interrupted: after saving, when asked to stop.
      FloatingPointError: when the loss is no longer finite, naming the step; the checkpoints
        before it are kept.
    """
    total = state.spec.total_steps
    # Steps donate their state: the caller keeps his.
    state = jax.tree.map(lambda leaf: leaf.copy(), state)
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(
            contextlib.closing(
                Checkpoints(folder.path / "checkpoints", keep_best=1 if validate_every else 0)
            )
        )
        first = 0
        if checkpoints.latest_step() is not None:
            state, position = checkpoints.restore(state, checkpoints.latest_step())
            first = position["next_batch"]
        if first == total:
            return state, checkpoints.best_step()
        if batches is None:
            stream = training_batches(
                dataset,
                state.params.spec,
                augmentation=augmentation,
                batch_size=batch_size,
                start=first,
                stop=total,
                seed=seed,
                workers=workers,
                rows=processes.share(batch_size),
            )
        else:
            stream = batches(first)
        step_fn = parallel.compile_step(devices)
        log = stack.enter_context(folder.open_metrics(first))
        stop = stack.enter_context(_stop_signals())
        progress = stack.enter_context(Progress(total, "training", "step", done=first))
        pending, saved = None, first

        def flush():
            nonlocal pending
            if pending is not None:
                _record(*pending, log, log_every, total, progress)
            pending = None

        def save(step, validation_map=None):
            nonlocal saved
            flush()
            if step > saved:
                position = {"next_batch": step}
                checkpoints.save(state, position=position, validation_map=validation_map)
            saved = step

        batch = _next_batch(stream, stop)
        stopping = processes.ask_greatest(lambda: stop.number)
        for step in range(first + 1, total + 1):
            # All processes stop at the same step, whichever was told to.
            if stopping():
                save(step - 1)
                raise Interrupted(step - 1, stopping())
            # The next is asked ahead of this step: its answer comes while the device computes.
            following = _next_batch(stream, stop) if step < total else None
            stopping = processes.ask_greatest(lambda: stop.number)
            state, metrics = step_fn(state, batch)
            # Read a step late: the device is never waited for while it could be computing.
            flush()
            pending = step, metrics
            validation_map = None
            if validate_every and step % validate_every == 0:
                flush()
                validation_map = validate(state.params)
                # Before the checkpoint: a kill in between takes the step, and the line, anew.
                _write_line(log, {"step": step, "validation_map": validation_map})
            if validation_map is not None or step % checkpoint_every == 0 or step == total:
                save(step, validation_map)
            batch = following
        # Asked anew: what came during the last step counts, too.
        if number := processes.greatest(stop.number):
            raise Interrupted(total, number)
        return state, checkpoints.best_step()


def _next_batch(batches, stop):
    """The next batch; None where a stop has ended the workers that were to load it."""
    try:
        return next(batches)
    except Exception:
        # A stop sent to the whole process group reaches grain's workers as well.
        if stop.signals:
            return None
        raise


def _record(step, metrics, log, log_every, total, progress):
    """Shows and logs the metrics of ``step``; raises if its loss is not finite."""
    numbers = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if not math.isfinite(numbers["loss"]) or not math.isfinite(numbers["gradient_norm"]):
        raise FloatingPointError(
            f"loss must be finite, got {numbers['loss']} (gradient norm "
            f"{numbers['gradient_norm']}) at step {step}, beta {numbers['beta']:.3g}: lower "
            "--learning-rate. The checkpoints before this step are kept."
        )
    progress.update(loss=numbers["loss"], beta=numbers["beta"], gap=numbers["quantization_gap"])
    if step % log_every == 0 or step == total:
        _write_line(log, {"step": step, **numbers})


def _write_line(log, content):
    log.write(json.dumps(content) + "\n")


class _Stop:
    """The signals that asked for a stop, in their order."""

    def __init__(self):
        self.signals = []

    @property
    def number(self):
        """Of the first of them; 0 without one."""
        return self.signals[0] if self.signals else 0


@contextlib.contextmanager
def _stop_signals():
    """While open, the first SIGINT or SIGTERM is noted; the next of its kind acts as usual.

    In another thread than the main one, where Python takes no handlers, nothing is noted.
    """
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {}

    def note(number, frame):
        stop.signals.append(number)
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
