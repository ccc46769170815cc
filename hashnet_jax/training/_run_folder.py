"""The run folder: its lock, JSON files, arrays and metrics."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import exclusive_lock, make_folder, write_whole
from hashnet_jax.distributed.reading import damage_named, read_json, read_npz
from hashnet_jax.distributed.seals import sealed, unsealed
from hashnet_jax.training._metrics_file import MetricsFile

METRICS = "metrics.jsonl"

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

WHAT = "a file of this run"
REMEDY = "restore it, or start a new run in another folder"


class RunFolder:
    """A run folder, locked against other processes inside its ``with`` block.

    ::

        config.json      the resolved config, written first
        split.npz        indices of training, query, database and validation images
        pictures.json    names of used and skipped images, if the data set names its images
        data.json        a hash of the images' content, and the base folders of relative paths
        overlaps.json    counts of images in more than one part of the split, by index and content
        metrics.jsonl    one line per logged step
        tensorboard/     event files, if they are requested; wandb/ and wandb_id.txt likewise
        profile/         traces by the JAX profiler, if they are requested
        features-*.npy   features from a frozen backbone, see load_or_compute_features
        checkpoints/     train states and data positions, written by orbax
        model.npz        the trained network, for hashnet_jax.load
        codes.npz        packed codes, labels and indices for queries and database
        result.json      the protocol's MAP and how it was obtained, written last
        report.html      the report from hashnet_jax.report, with card.json and figures/

    The operating system releases the lock no matter how the process ends. With several processes,
    only the first one accesses the folder; in the others, writing does nothing, and reading JSON
    returns what the first process read. The folder of a finished run may be read-only; such a
    folder is not locked.

    Args:
      run_dir: path to the folder.
      resume: whether to continue the run in the folder.

    Attributes:
      path: path to the folder.

    Raises:
      FileExistsError: if the folder is not empty and ``resume`` is false.
      FileNotFoundError: if the folder contains no run and ``resume`` is true.
      BlockingIOError: on entry, if another process is writing to the folder.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     with RunFolder(Path(parent, "run")) as folder:
      ...         folder.write_json("config.json", {"seed": 0})
      ...         folder.read_json("config.json")
      {'seed': 0}
    """

    def __init__(self, run_dir: str | os.PathLike[str], *, resume: bool = False) -> None:
        self.path = Path(run_dir)
        self._lock = contextlib.ExitStack()
        processes.together(lambda: processes.is_first() and self._check(resume))

    def _check(self, resume: bool) -> None:
        # A run killed at startup leaves only hidden files behind: its lock, or a partial write.
        content = [p for p in self.path.iterdir() if p.name[0] != "."] if self.path.is_dir() else []
        is_file = self.path.exists() and not self.path.is_dir()
        if (content or is_file) and not resume:
            found = "is a file" if is_file else f"contains {content[0].name!r}"
            raise FileExistsError(
                f"`run_dir` must be a new or empty folder, but {self.path} {found}. Continue the "
                "run in it with `resume=True`, or use another `run_dir`."
            )
        if resume and not (self.path / "config.json").is_file():
            raise FileNotFoundError(
                f"there is no run to resume in {self.path} (no config.json). Pass the `run_dir` of "
                "an existing run, or start a new run without `resume=True`."
            )

    def __enter__(self) -> "RunFolder":
        self._lock = contextlib.ExitStack()
        processes.together(lambda: processes.is_first() and self._take())
        return self

    def _take(self) -> None:
        busy = (
            f"another process is writing to {self.path}. Wait until it finishes, or use another "
            "`run_dir`."
        )
        try:
            make_folder(self.path)
            self._lock.enter_context(exclusive_lock(self.path / ".lock", busy))
            for leftover in self.path.glob(".*.partial"):
                leftover.unlink()
        except OSError as error:
            # A finished run is only read, so it needs no lock, and may be on read-only media.
            if error.errno not in _READ_ONLY or not (self.path / "result.json").is_file():
                raise

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON object atomically, together with a hash of its content."""
        text = json.dumps(sealed(content), indent=2) + "\n"
        self._write(name, lambda file: file.write(text.encode()))

    def read_json(self, name: str) -> Any:
        """Reads a JSON object and checks its seal, if it has one; see `distributed.seals`.

        Returns:
          The object without its seal, or None if the file does not exist.

        Raises:
          DamagedFile: if the file is damaged.
        """
        return processes.from_first(lambda: self._read_json(name))

    def _read_json(self, name: str) -> Any:
        path = self.path / name
        if not os.path.lexists(path):
            return None
        content = read_json(path, WHAT, REMEDY)
        with damage_named(path, WHAT, REMEDY):
            return unsealed(content)

    def read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Reads an .npz file; returns None if it is missing or this is not the first process.

        Raises:
          DamagedFile: if the file is damaged.
        """
        path = self.path / name
        if not processes.is_first() or not os.path.lexists(path):
            return None
        return read_npz(path, WHAT, REMEDY)

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Writes a compressed .npz file atomically."""
        self._write(name, lambda file: np.savez_compressed(file, **arrays))

    def open_metrics(
        self,
        step: int,
        *,
        sha256: str | None = None,
        say: Callable[[str], object] = print,
    ) -> MetricsFile:
        """Truncates `metrics.jsonl` to the lines for steps <= ``step`` and opens it for appending.

        Steps after the last checkpoint are repeated and logged again. For the arguments, see
        :class:`MetricsFile`.
        """
        path = self.path / METRICS if processes.is_first() else None
        return MetricsFile(path, step, sha256=sha256, say=say)

    def _write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        if processes.is_first():
            write_whole(self.path / name, write)
