"""The run folder: its lock, JSON files, arrays and metrics."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import exclusive_lock, write_whole


class RunFolder:
    """A run folder, locked against other processes inside its ``with`` block.

    ::

        config.json      the resolved config, written first
        split.npz        indices of training, query, database and validation images
        pictures.json    names of used and skipped images, if the data set is a folder
        overlaps.json    counts of images in more than one part of the split, by index and content
        metrics.jsonl    one line per logged step
        features-*.npy   features from a frozen backbone, see load_or_compute_features
        checkpoints/     train states and data positions, written by orbax
        model.npz        the trained network, for hashnet_jax.load
        codes.npz        packed codes, labels and indices for queries and database
        result.json      the protocol's MAP and how it was obtained, written last
        report.html      a report on the run by hashnet_jax.report, with card.json and figures/

    The operating system releases the lock however the process ends. With several processes, only
    the first one accesses the folder: in the others, writing does nothing, and reading JSON returns
    what the first process read.

    Args:
      run_dir: path of the folder.
      resume: whether to continue the run in the folder.

    Attributes:
      path: path of the folder.

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
                f"`run_dir` must be a new or empty folder, but {self.path} {found}: continue the "
                "run in it with `resume=True`, or choose another `run_dir`."
            )
        if resume and not (self.path / "config.json").is_file():
            raise FileNotFoundError(
                f"there is no run to resume in {self.path} (no config.json): choose the `run_dir` "
                "of a run, or start a new one without `resume=True`."
            )

    def __enter__(self) -> "RunFolder":
        self._lock = contextlib.ExitStack()
        processes.together(lambda: processes.is_first() and self._take())
        return self

    def _take(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        busy = (
            f"another process is writing to {self.path}: wait until it ends, or choose another "
            "`run_dir`."
        )
        self._lock.enter_context(exclusive_lock(self.path / ".lock", busy))
        for leftover in self.path.glob(".*.partial"):
            leftover.unlink()

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file atomically."""
        self._write(name, lambda file: file.write(json.dumps(content, indent=2).encode() + b"\n"))

    def read_json(self, name: str) -> Any:
        """Reads a JSON file; returns None if it does not exist.

        Raises:
          ValueError: if the file is damaged.
        """
        return processes.from_first(lambda: self._read_json(name))

    def _read_json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged ({error}): restore it, or start a new run in another `run_dir`."
            ) from error

    def read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Reads an .npz file; None if it does not exist, or in processes after the first."""
        path = self.path / name
        if not processes.is_first() or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Writes a compressed .npz file atomically."""
        self._write(name, lambda file: np.savez_compressed(file, **arrays))

    def open_metrics(self, step: int) -> TextIO:
        """Truncates `metrics.jsonl` to the lines for steps <= ``step`` and opens it for appending.

        Steps after the last checkpoint are repeated and logged again.
        """
        if not processes.is_first():
            return open(os.devnull, "w")
        path = self.path / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = []
        for line in lines:
            try:
                if json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError, TypeError):  # a line truncated by a kill
                break
            kept.append(line + "\n")
        self._write("metrics.jsonl", lambda file: file.write("".join(kept).encode()))
        return open(path, "a", buffering=1)

    def _write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        if processes.is_first():
            write_whole(self.path / name, write)
