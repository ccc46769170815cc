"""Saves the train state and data position in checkpoints, which are verified when read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import make_folder
from hashnet_jax.training._checkpoint_arrays import (
    arrays_of_state,
    arrays_sha256,
    state_of_arrays,
)
from hashnet_jax.training._checkpoint_reader import CheckpointReader
from hashnet_jax.training._checkpoint_record import Record
from hashnet_jax.training._kept_checkpoints import KeptCheckpoints
from hashnet_jax.training._orbax_folder import OrbaxFolder
from hashnet_jax.training._state import TrainState


def to_stderr(line: str) -> None:
    """Prints a line to stderr."""
    print(line, file=sys.stderr)


class Checkpoints:
    """A run's checkpoints: the latest and, with validation, the best.

    Checkpoints are written atomically: orbax writes to a temporary folder and renames it. Each
    checkpoint contains a hash of its arrays, data position and validation MAP; the hash is verified
    when the checkpoint is read. If a checkpoint is damaged, this is reported and another checkpoint
    is used. If there are several processes, all of them must make the same calls. The state is the
    same in all processes, so only the first process reads and writes, and it sends what it reads to
    the others.

    Args:
      folder: folder for the checkpoints; created if missing.
      keep_last: number of latest checkpoints to keep, >= 1.
      keep_best: number of best checkpoints, by validation MAP, to keep as well; 0 without
        validation.
      read_only: whether to forbid writing. Otherwise, incomplete checkpoints left by a killed run
        are removed in the background, which two processes must not do at the same time.
      run: string that identifies the run. Checkpoints written by a different run are rejected.
      say: called with a line of text if a checkpoint is damaged or cannot be verified.

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
        run: str = "",
        say: Callable[[str], object] = to_stderr,
    ) -> None:
        self._keep_best, self._read_only = keep_best, read_only
        self._run = run
        self._folder = Path(folder).resolve()
        self._keep = KeptCheckpoints(keep_last, keep_best)
        self._orbax: Any = None  # an OrbaxFolder, in the first process only
        self._reader: Any = None  # a CheckpointReader, likewise
        if not processes.is_first():
            return
        if not read_only:
            make_folder(self._folder)
        self._orbax = OrbaxFolder(self._folder, self._keep, tidy=not read_only)
        self._reader = CheckpointReader(
            self._folder, self._orbax, self._keep, run=run, say=say, move_aside=not read_only
        )
        if keep_best:
            self._keep.maps.update(self._reader.saved_maps())

    def save(
        self,
        state: TrainState,
        *,
        position: dict[str, Any],
        validation_map: float | None = None,
    ) -> None:
        """Saves ``state`` under its step, in the background.

        Args:
          state: the train state, :class:`TrainState`.
          position: position in the data, as a JSON object.
          validation_map: MAP on the validation queries in 0..1, if measured.

        Raises:
          ValueError: if the checkpoints were opened with ``read_only=True``.
        """
        if self._read_only:
            raise ValueError(
                "cannot save because the checkpoints were opened with `read_only=True`. Open them "
                "with `read_only=False`."
            )
        if self._orbax is None:
            return
        # Copy the arrays, since the next step may reuse their buffers while they are being written.
        arrays = jax.tree.map(np.array, arrays_of_state(state))
        step = int(state.step)
        self._keep.maps[step] = validation_map if self._keep_best else None
        record = Record(
            step,
            position,
            validation_map=self._keep.maps[step],
            best_step=next(self._keep.measured(), None),
            run=self._run,
            arrays_sha256=arrays_sha256(arrays),
        )
        self._orbax.save(step, arrays, record.to_json())

    def latest_step(self) -> int | None:
        """Returns the step of the latest complete checkpoint, or None."""
        return processes.from_first(lambda: max(self._orbax.steps(), default=None))

    def best_step(self) -> int | None:
        """Returns the step with the best validation MAP, or None if none was measured."""
        return processes.from_first(lambda: next(self._keep.measured(), None))

    def restore(self, template: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """Restores the checkpoint saved at ``step``.

        Args:
          template: any :class:`TrainState` of the same run, e.g. the initial one.
          step: step of the checkpoint, see :meth:`latest_step`.

        Returns:
          ``(state, position)``, as passed to :meth:`save`.

        Raises:
          DamagedFile: if the checkpoint is damaged, or was written by another run.
        """
        return _received(template, lambda arrays: self._reader.read(step, arrays))

    def restore_latest(self, template: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """Restores the latest undamaged checkpoint.

        Damaged later checkpoints are renamed, so that their steps can be saved again.

        Args:
          template: see :meth:`restore`.

        Returns:
          ``(state, position)``, or None if there are no checkpoints.

        Raises:
          DamagedFile: if there are checkpoints, but all of them are damaged.
        """
        if self.latest_step() is None:
            return None
        return _received(template, lambda arrays: self._reader.read_latest(arrays))

    def restore_best(self, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Restores the undamaged checkpoint with the best validation MAP.

        Args:
          template: see :meth:`restore`.

        Returns:
          ``(state, position)``.

        Raises:
          DamagedFile: if all checkpoints with a validation MAP are damaged or missing.
        """
        return _received(template, lambda arrays: self._reader.read_best(arrays))

    def close(self) -> None:
        """Waits until all checkpoints are on disk."""
        if self._orbax is not None:
            self._orbax.close()


def _received(
    template: TrainState, read: Callable[[Any], tuple[Any, dict[str, Any]]]
) -> tuple[TrainState, dict[str, Any]]:
    """Calls ``read`` in the first process, and sends the state and position to all processes."""
    arrays = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), arrays_of_state(template))

    def read_position() -> dict[str, Any]:
        nonlocal arrays
        arrays, position = read(arrays)
        return position

    position = processes.from_first(read_position)
    return state_of_arrays(template, processes.arrays_from_first(arrays)), position
