"""Accesses a checkpoint folder in orbax's format; the only module that imports orbax."""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from hashnet_jax.distributed.files import sync_folder
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.training._checkpoint_faults import write_faults_named
from hashnet_jax.training._kept_checkpoints import KeptCheckpoints

_METADATA = "_CHECKPOINT_METADATA"


class _Manager(ocp.CheckpointManager):
    """A manager that does not ask JAX's preemption service, which is off.

    Signals stop a run instead, see :mod:`hashnet_jax.distributed`. orbax before 0.12 fails if
    several processes ask the service while it is off.
    """

    def reached_preemption(self, step: int) -> bool:
        del step
        return False


class OrbaxFolder:
    """Writes and reads checkpoints, each of which consists of a pytree of arrays and a JSON object.

    Nothing is created until the first save. orbax's ``read_only`` option is not used, since it logs
    a warning, and reading leaves the folder unchanged even without this option.

    Args:
      path: absolute path to the folder.
      keep: decides which checkpoints are kept.
      tidy: whether to remove incomplete checkpoints left by a killed run.
    """

    def __init__(self, path: Path, keep: KeptCheckpoints, *, tidy: bool) -> None:
        self._path, self._tidy = path, tidy
        for file in path.glob(f"*/{_METADATA}"):  # orbax reads this file in all checkpoints at once
            if file.is_fifo():
                remedy = f"delete {file.parent} to continue from an earlier checkpoint"
                raise DamagedFile(file, "orbax's metadata", "it is not a regular file", remedy)
        self._manager = _Manager(
            path,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=keep,
                cleanup_tmp_directories=tidy,
                # orbax cannot create the folder if only some of the processes are active.
                create=False,
                # Otherwise, if the disk is full, orbax's threads wait 20 minutes for the folders.
                async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
                multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
            ),
            item_names=("state", "data"),
        )

    def steps(self) -> list[int]:
        """Returns the steps of all checkpoints that were written completely, in ascending order."""
        with write_faults_named(self._path):
            self._manager.wait_until_finished()
        names = [path.name for path in self._path.iterdir()] if self._path.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal())

    def save(self, step: int, arrays: Any, data: dict[str, Any]) -> None:
        """Saves a checkpoint in the background."""
        args = ocp.args.Composite(state=ocp.args.StandardSave(arrays), data=ocp.args.JsonSave(data))
        with write_faults_named(self._path):
            self._manager.save(step, args=args)

    def read_arrays(self, step: int, template: Any) -> Any:
        """Reads the arrays of a checkpoint; if it is damaged, orbax may raise any type of error."""
        args = ocp.args.Composite(state=ocp.args.StandardRestore(template))
        return self._manager.restore(step, args=args)["state"]

    def read_data(self, step: int) -> Any:
        """Reads the JSON object of a checkpoint; see :meth:`read_arrays`."""
        args = ocp.args.Composite(data=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["data"]

    def reload(self) -> None:
        """Lists the checkpoints again after one of them has been renamed."""
        self._manager.reload()

    def close(self) -> None:
        """Waits until all checkpoints are on disk."""
        with write_faults_named(self._path):
            self._manager.wait_until_finished()
            self._manager.close()
        if self._tidy:
            # orbax does not flush this folder after renaming a checkpoint.
            sync_folder(self._path)
