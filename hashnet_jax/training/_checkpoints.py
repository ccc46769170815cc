"""Checkpoints of the train state and the data position; the only module that imports orbax."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

from hashnet_jax.distributed import processes
from hashnet_jax.training._state import TrainState

METRIC = "validation_map"
NOT_MEASURED = -1.0  # below any MAP, so measured checkpoints always rank higher


class Checkpoints:
    """A run's checkpoints: the latest and, with validation, the best.

    Checkpoints are written atomically: orbax writes to a temporary folder and renames it. With
    several processes, all of them make the same calls. Since all have the same state, only the
    first one reads and writes, and sends the others what it has read.

    Args:
      folder: folder for the checkpoints; created if missing.
      keep_last: number of latest checkpoints to keep, >= 1.
      keep_best: number of best checkpoints, by validation MAP, to keep as well; 0 without
        validation.
      read_only: whether to forbid writing. Otherwise, incomplete checkpoints left by a killed run
        are removed in the background, which two processes must not do at the same time.

    Examples:
      >>> import tempfile
      >>> from hashnet_jax import ModelSpec
      >>> from hashnet_jax.training import TrainSpec, init_state
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=100))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     checkpoints = Checkpoints(folder)
      ...     checkpoints.save(state, position={"next_batch": 0})
      ...     checkpoints.close()
      ...     checkpoints = Checkpoints(folder, read_only=True)
      ...     restored, position = checkpoints.restore(state, checkpoints.latest_step())
      ...     checkpoints.close()
      >>> int(restored.step), position
      (0, {'next_batch': 0})
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_last: int = 2,
        keep_best: int = 0,
        read_only: bool = False,
    ) -> None:
        self._keep_best, self._read_only = keep_best, read_only
        self._manager: Any = None  # orbax's, in the first process only
        if not processes.is_first():
            return
        path = Path(folder).resolve()
        if not read_only:
            path.mkdir(parents=True, exist_ok=True)
        self._manager = _manager(path, keep_last, keep_best, tidy=not read_only)

    def save(
        self,
        state: TrainState,
        *,
        position: dict[str, Any],
        validation_map: float | None = None,
    ) -> None:
        """Saves ``state`` under its step, in the background.

        Args:
          state: :class:`TrainState`.
          position: position in the data, as JSON values.
          validation_map: MAP on the validation queries in 0..1, if measured.

        Raises:
          ValueError: if the checkpoints were opened with ``read_only=True``.
        """
        if self._read_only:
            raise ValueError(
                "cannot save to checkpoints opened with `read_only=True`: open them without it."
            )
        if self._manager is None:
            return
        # Copied, since the next step may reuse the buffers while these arrays are being written.
        arrays = jax.tree.map(np.array, _arrays(state))
        metrics = None
        if self._keep_best:
            metrics = {METRIC: NOT_MEASURED if validation_map is None else validation_map}
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays), data=ocp.args.JsonSave(position)
            ),
            metrics=metrics,
        )

    def latest_step(self) -> int | None:
        """Returns the step of the latest complete checkpoint, or None."""
        return processes.from_first(lambda: self._manager.latest_step())

    def best_step(self) -> int | None:
        """Returns the step with the best validation MAP, or None if none was measured."""
        return processes.from_first(self._best_step)

    def _best_step(self) -> int | None:
        # Metrics are read from disk, but the latest checkpoint may not have been written yet.
        self._manager.wait_until_finished()
        step = self._manager.best_step() if self._keep_best else None
        if step is None or self._manager.metrics(step)[METRIC] == NOT_MEASURED:
            return None
        return step

    def restore(self, template: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """Restores the checkpoint saved at ``step``.

        Args:
          template: any :class:`TrainState` of the same run, e.g. the initial one.
          step: step of the checkpoint, see :meth:`latest_step`.

        Returns:
          ``(state, position)``.
        """
        arrays = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), _arrays(template))

        def read() -> dict[str, Any]:
            nonlocal arrays
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(arrays), data=ocp.args.JsonRestore()
                ),
            )
            arrays = restored.state
            return restored.data

        position = processes.from_first(read)
        return _state(template, processes.arrays_from_first(arrays)), position

    def close(self) -> None:
        """Waits until all checkpoints are on disk."""
        if self._manager is not None:
            self._manager.wait_until_finished()
            self._manager.close()


def _manager(folder: Path, keep_last: int, keep_best: int, *, tidy: bool) -> ocp.CheckpointManager:
    """Opens a folder with orbax, without creating anything until the first save.

    orbax's ``read_only`` option is not used: it logs a warning, and the folder stays unchanged
    without it.

    Args:
      tidy: whether to remove incomplete checkpoints left by a killed run.
    """
    keep: list[policy.PreservationPolicy] = [policy.LatestN(keep_last)]
    if keep_best:
        keep.append(policy.BestN(get_metric_fn=_validation_map, n=keep_best))
    return ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
            preservation_policy=policy.AnyPreservationPolicy(keep),
            best_fn=_validation_map if keep_best else None,
            cleanup_tmp_directories=tidy,
            # orbax cannot create the folder if only some of the processes are active.
            create=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
        ),
        item_names=("state", "data"),
    )


def _validation_map(metrics: Any) -> float:
    return metrics[METRIC]


def _arrays(state: TrainState) -> dict[str, Any]:
    """Converts the state to a dict of arrays, with the PRNG key as raw key data."""
    return {
        "step": state.step,
        "beta": state.beta,
        "variables": state.params.variables,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
    }


def _state(template: TrainState, arrays: dict[str, Any]) -> TrainState:
    """Inverts :func:`_arrays`."""
    arrays = jax.tree.map(jnp.array, arrays)
    return dataclasses.replace(
        template,
        step=arrays["step"],
        beta=arrays["beta"],
        params=dataclasses.replace(template.params, variables=arrays["variables"]),
        opt_state=arrays["opt_state"],
        key=jax.random.wrap_key_data(arrays["key"], impl=jax.random.key_impl(template.key)),
    )
