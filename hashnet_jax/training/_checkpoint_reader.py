"""Reads checkpoints, falling back to another one if a checkpoint is damaged."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.training._checkpoint_arrays import check_arrays
from hashnet_jax.training._checkpoint_record import (
    Record,
    check_regular_files,
    checkpoint_damage_named,
    old_validation_map,
    record_from_json,
)
from hashnet_jax.training._kept_checkpoints import KeptCheckpoints
from hashnet_jax.training._orbax_folder import OrbaxFolder


class CheckpointReader:
    """Reads the checkpoints in a folder; used by the first process only.

    Args:
      folder: absolute path to the folder.
      orbax: the same folder, accessed with orbax.
      keep: holds the validation MAP of each checkpoint.
      run: text that identifies the run.
      say: called with a line of text if a checkpoint is damaged or cannot be verified.
      move_aside: whether to rename damaged checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        orbax: OrbaxFolder,
        keep: KeptCheckpoints,
        *,
        run: str,
        say: Callable[[str], object],
        move_aside: bool,
    ) -> None:
        self._folder, self._orbax, self._keep = folder, orbax, keep
        self._run, self._say, self._moves_aside = run, say, move_aside

    def saved_maps(self) -> dict[int, float | None]:
        """Maps the step of each saved checkpoint to its validation MAP, or to None if unknown."""
        maps = {}
        for step in self._orbax.steps():
            try:
                maps[step] = self._record(step).validation_map
            except DamagedFile:
                maps[step] = None  # the damage is reported when the checkpoint is restored
        return maps

    def read(self, step: int, arrays: Any) -> tuple[Any, dict[str, Any]]:
        """Reads and checks a checkpoint; returns its arrays and data position."""
        record = self._record(step)
        with checkpoint_damage_named(self._folder / str(step)):
            restored = self._orbax.read_arrays(step, arrays)
            check_arrays(restored, arrays, step=step, sha256=record.arrays_sha256)
        if record.arrays_sha256 is None:
            self._say(
                f"note: checkpoint {step} was written by version 0.1 without a hash, so it cannot "
                "be checked for damage."
            )
        return restored, record.position

    def _record(self, step: int) -> Record:
        path = self._folder / str(step)
        with checkpoint_damage_named(path):
            check_regular_files(path)
            record = record_from_json(self._orbax.read_data(step), step=step, run=self._run)
            if record.arrays_sha256 is None:
                record = record._replace(validation_map=old_validation_map(path))
            return record

    def read_latest(self, arrays: Any) -> tuple[Any, dict[str, Any]]:
        """Reads the latest undamaged checkpoint, and renames all later ones, which are damaged."""
        damaged: dict[int, DamagedFile] = {}
        for step in reversed(self._orbax.steps()):
            try:
                restored = self.read(step, arrays)
            except DamagedFile as error:
                damaged[step] = error
                continue
            for bad, error in damaged.items():
                self._say(
                    f"{self._folder / str(bad)} is damaged ({error.reason}). Continuing from step "
                    f"{step}.{self._move_aside(bad)}"
                )
            return restored
        raise self._all_damaged(damaged)

    def read_best(self, arrays: Any) -> tuple[Any, dict[str, Any]]:
        """Reads the undamaged checkpoint with the best validation MAP."""
        damaged: dict[int, DamagedFile] = {}
        best = self._recorded_best_step()
        for step in self._keep.measured():
            try:
                restored = self.read(step, arrays)
            except DamagedFile as error:
                damaged[step] = error
                continue
            if best not in (None, step):
                why = damaged[best].reason if best in damaged else "it is missing or unreadable"
                self._say(
                    f"{self._folder / str(best)}, the checkpoint with the best validation MAP, is "
                    f"damaged ({why}). Using step {step}, which has the best MAP among the "
                    "other checkpoints."
                )
            return restored
        raise self._all_damaged(damaged)

    def _recorded_best_step(self) -> int | None:
        """Returns the newest readable record's best step, even if its checkpoint is gone."""
        for step in reversed(self._orbax.steps()):
            with contextlib.suppress(DamagedFile):
                return self._record(step).best_step
        return None

    def _move_aside(self, step: int) -> str:
        """Renames a damaged checkpoint, so that its step can be saved again; returns a message."""
        if not self._moves_aside:
            return ""
        aside = self._folder / f"{step}.damaged"
        while os.path.lexists(aside):
            aside = aside.with_name(f"{aside.name}~")
        os.rename(self._folder / str(step), aside)
        self._keep.maps.pop(step, None)
        self._orbax.reload()
        return f" The damaged checkpoint was renamed to {aside.name}."

    def _all_damaged(self, damaged: dict[int, DamagedFile]) -> DamagedFile:
        reasons = "; ".join(f"{step}: {error.reason}" for step, error in damaged.items())
        return DamagedFile(
            self._folder,
            "a checkpoint folder",
            f"no checkpoint can be restored: {reasons or 'none has a validation MAP'}",
            "restore a checkpoint from a copy, or delete this folder to train from scratch",
        )
