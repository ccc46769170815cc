"""Writes step metrics to `metrics.jsonl` and shows them in the progress display."""

import json
import math
from collections.abc import Mapping
from typing import Any, TextIO

import jax

from hashnet_jax.distributed.progress import Progress
from hashnet_jax.training._step import Metrics


class MetricsLog:
    """Records each step's metrics one step late.

    Reading a metric blocks until the device has computed it. With this delay, the device is already
    computing the next step by then.

    Args:
      file: `metrics.jsonl`, open for appending.
      progress: an open :class:`hashnet_jax.distributed.progress.Progress` that counts steps.
      every: number of steps between lines in the file; the last step is always written.
      total_steps: total number of steps.
    """

    def __init__(self, file: TextIO, progress: Progress, *, every: int, total_steps: int) -> None:
        self._file, self._progress = file, progress
        self._every, self._total_steps = every, total_steps
        self._pending: tuple[int, Metrics] | None = None

    def add(self, step: int, metrics: Metrics) -> None:
        """Records the previous step's metrics and holds back those of ``step``.

        Raises:
          FloatingPointError: see :meth:`flush`.
        """
        self.flush()
        self._pending = step, metrics

    def flush(self) -> None:
        """Records any metrics still held back.

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
        if step % self._every == 0 or step == self._total_steps:
            self.write({"step": step, **numbers})

    def write(self, content: Mapping[str, Any]) -> None:
        """Appends ``content`` to the file as a line of JSON."""
        self._file.write(json.dumps(content) + "\n")


def _check_finite(step: int, numbers: Mapping[str, float]) -> None:
    if not math.isfinite(numbers["loss"]) or not math.isfinite(numbers["gradient_norm"]):
        raise FloatingPointError(
            f"the loss must be finite, got {numbers['loss']} (gradient norm "
            f"{numbers['gradient_norm']}) at step {step}, beta {numbers['beta']:.3g}: lower "
            "`learning_rate`. Checkpoints from before this step are kept."
        )
