"""Writes step metrics to `metrics.jsonl`, displays them, and watches for a collapsed network."""

import math
from collections.abc import Mapping

import jax

from hashnet_jax.distributed.progress import Progress
from hashnet_jax.training._batch_watch import BatchWatch
from hashnet_jax.training._callback import Callback
from hashnet_jax.training._metrics_file import MetricsFile
from hashnet_jax.training._step import Metrics


class MetricsLog:
    """Records each step's metrics one step late.

    Reading a metric blocks until the device has computed it. Thanks to the delay, the device is
    already busy with the next step by then.

    Args:
      file: `metrics.jsonl`, see :class:`MetricsFile`.
      progress: an open :class:`hashnet_jax.distributed.progress.Progress` that counts steps.
      every: number of steps between lines in the file; the last step is always written.
      total_steps: total number of steps.
      watch: checks each step's metrics for signs of collapse.
      callback: called after each line written to the file.
    """

    def __init__(
        self,
        file: MetricsFile,
        progress: Progress,
        *,
        every: int,
        total_steps: int,
        watch: BatchWatch,
        callback: Callback,
    ) -> None:
        self._file, self._progress, self._watch = file, progress, watch
        self._callback = callback
        self._every, self._total_steps = every, total_steps
        self._pending: tuple[int, Metrics] | None = None

    def add(self, step: int, metrics: Metrics) -> None:
        """Records the previous step's metrics, and holds those of ``step`` until the next flush.

        Raises:
          FloatingPointError: see :meth:`flush`.
        """
        self.flush()
        self._pending = step, metrics

    def flush(self) -> None:
        """Records the pending metrics, if any.

        Raises:
          FloatingPointError: if the loss or the gradient norm is not finite; the message names the
            step.
        """
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        numbers = {name: float(value) for name, value in jax.device_get(metrics).items()}
        _check_finite(step, numbers)
        self._progress.update(
            numbers={
                "loss": numbers["loss"],
                "beta": numbers["beta"],
                "gap": numbers["quantization_gap"],
            }
        )
        self._watch.add(step, numbers)
        if step % self._every == 0 or step == self._total_steps:
            self.write(step, numbers)

    def write(self, step: int, metrics: Mapping[str, float | int | None]) -> None:
        """Appends a line of JSON to the file, and passes the metrics on to the callback."""
        self._file.write({"step": step, **metrics})
        self._callback.log(step, metrics)

    def sync(self) -> str:
        """Records the pending metrics, flushes the file to disk, and returns its hash.

        Raises:
          FloatingPointError: see :meth:`flush`.
        """
        self.flush()
        return self._file.sync()


def _check_finite(step: int, numbers: Mapping[str, float]) -> None:
    if not math.isfinite(numbers["loss"]) or not math.isfinite(numbers["gradient_norm"]):
        raise FloatingPointError(
            f"the loss and the gradient norm must be finite, got {numbers['loss']} and "
            f"{numbers['gradient_norm']} at step {step}, beta {numbers['beta']:.3g}. Lower "
            "`learning_rate`. Checkpoints from before this step are kept."
        )
