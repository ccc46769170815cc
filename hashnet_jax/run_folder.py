"""The folder of a run: who may write to it, its JSON files and its metrics.

::

    config.json      the resolved config, written first
    split.npz        indices of train, query, database and validation images
    pictures.json    names of the images, and those skipped, where the data set is a folder
    overlaps.json    images that are in more than one of these, by index and by content
    metrics.jsonl    one line a logged step
    features-*.npy   features of a frozen backbone, see hashnet_jax.features
    checkpoints/     by orbax: train state and data position
    model.npz        the trained network, for hashnet_jax.load
    codes.npz        packed codes, labels and indices of queries and database
    result.json      the MAP of the protocol and how it was reached, written last
    report.html      by experiments/report.py, from all of the above, with card.json and figures/
"""

import fcntl
import json
import os
from pathlib import Path

import numpy as np

from hashnet_jax import processes
from hashnet_jax.files import write_whole


class RunFolder:
    """A run's folder, locked against other processes from `with` to its end.

    The operating system drops the lock when the process ends, however it ends. Where several
    processes train together, only the first touches the folder: in the others writing does nothing,
    and reading JSON gives what the first has read.

    Args:
      path: the folder.
      resume: whether to continue the run that is in it.

    Raises:
      FileExistsError: if the folder holds a run and ``resume`` is false.
      FileNotFoundError: if it holds none and ``resume`` is true.
      BlockingIOError: on entry, if another process is writing to it.
    """

    def __init__(self, path, *, resume=False):
        self.path = Path(path)
        processes.together(lambda: processes.is_first() and self._check(resume))

    def _check(self, resume):
        # A lock, or a file half written, is what an attempt leaves that was killed as it began.
        content = [p for p in self.path.iterdir() if p.name[0] != "."] if self.path.is_dir() else []
        taken = bool(content) or (self.path.exists() and not self.path.is_dir())
        if taken and not resume:
            raise FileExistsError(
                f"{self.path} must be a new or an empty folder: continue the run in it with "
                f"--run-dir {self.path} --resume, or name another with --run-dir."
            )
        if resume and not (self.path / "config.json").is_file():
            raise FileNotFoundError(
                f"no run to resume in {self.path} (no config.json there): name the folder of a run "
                "with --run-dir, or start one without --resume."
            )

    def __enter__(self):
        self._lock = None
        processes.together(lambda: processes.is_first() and self._take())
        return self

    def _take(self):
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / ".lock", "w")  # noqa: SIM115 (open until the end)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise BlockingIOError(
                f"another process is writing to {self.path}: wait until it ends, or name another "
                "folder with --run-dir."
            ) from error
        for leftover in self.path.glob(".*.partial"):
            leftover.unlink()

    def __exit__(self, *error):
        if self._lock is not None:
            self._lock.close()

    def write_json(self, name, content):
        """Writes a JSON file that appears whole or not at all."""
        self._write(name, lambda file: file.write(json.dumps(content, indent=2).encode() + b"\n"))

    def read_json(self, name):
        """The content of a JSON file, or None where it is not there.

        Raises:
          ValueError: if it is damaged.
        """
        return processes.from_first(lambda: self._read_json(name))

    def _read_json(self, name):
        path = self.path / name
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise ValueError(
                f"{path} must be the JSON file that a run wrote, got a damaged one ({error}): put "
                "it back, or start another run with another --run-dir."
            ) from error

    def read_arrays(self, name):
        """The arrays of an .npz file as a dict, to the first process; None without it."""
        path = self.path / name
        if not processes.is_first() or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    def write_arrays(self, name, **arrays):
        """Writes a compressed .npz file that appears whole or not at all."""
        self._write(name, lambda file: np.savez_compressed(file, **arrays))

    def open_metrics(self, step):
        """`metrics.jsonl` for appending, cut back to the lines of steps <= ``step``.

        Steps after the last checkpoint are taken anew, and logged anew.
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
            except (ValueError, KeyError, TypeError):  # the line that a kill cut in two
                break
            kept.append(line + "\n")
        self._write("metrics.jsonl", lambda file: file.write("".join(kept).encode()))
        return open(path, "a", buffering=1)

    def _write(self, name, write):
        if processes.is_first():
            write_whole(self.path / name, write)
