"""The file `metrics.jsonl`: one line of JSON for each logged step."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from hashnet_jax.distributed.files import disk_faults_named, write_whole
from hashnet_jax.distributed.reading import DamagedFile, parse_json, read_text


class MetricsFile:
    """`metrics.jsonl`, open for appending; its hash is saved with each checkpoint.

    When the file is opened, it is truncated to the lines for steps <= ``step``, because steps after
    the last checkpoint are repeated and logged again.

    Args:
      path: path to the file; None if another process writes it.
      step: step of the checkpoint that training continues from; 0 for a new run.
      sha256: hash of the lines for steps <= ``step``, from :meth:`sync`; None if unknown.
      say: called with a line of text if the file is missing.

    Raises:
      DamagedFile: if a line is damaged, or the lines do not match their hash. A truncated last
        line, as left by a killed run, is dropped without an error.
    """

    def __init__(
        self,
        path: Path | None,
        step: int,
        *,
        sha256: str | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        self._file: BinaryIO | None = None
        content = b"" if path is None else "".join(_lines_until(path, step)).encode()
        self._digest = hashlib.sha256(content)
        if path is None:
            return
        if sha256 not in (None, self._digest.hexdigest()):
            if os.path.lexists(path):
                reason = f"its lines up to step {step} do not match their SHA-256"
                raise _damaged(path, reason)
            say(f"note: {path} is missing, so the metrics up to step {step} are lost.")
        write_whole(path, lambda file: file.write(content))
        self._file = path.open("ab", buffering=0)

    def write(self, content: Mapping[str, Any]) -> None:
        """Appends ``content`` as a line of JSON."""
        line = json.dumps(content).encode() + b"\n"
        self._digest.update(line)
        if self._file is not None:
            with disk_faults_named(self._file.name):
                self._file.write(line)

    def sync(self) -> str:
        """Flushes the file to disk, and returns the SHA-256 of its content."""
        if self._file is not None:
            with disk_faults_named(self._file.name):
                os.fsync(self._file.fileno())
        return self._digest.hexdigest()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()


def last_step(path: Path) -> int:
    """Returns the highest step in the file; 0 if there is none. Damaged lines are passed over."""
    lines = _read_lines(path) if path.is_file() else []
    return max((step for line in lines if (step := _step_of(line)) is not None), default=0)


def _lines_until(path: Path, step: int) -> Iterable[str]:
    """Returns the lines for steps <= ``step``.

    Damaged lines at the end of the file are dropped, because a crash of the machine may have
    corrupted them. A damaged line before a valid one is an error.
    """
    if os.path.lexists(path) and not path.is_file():
        raise _damaged(path, "it is not a regular file")
    lines = _read_lines(path) if path.is_file() else []
    steps = [_step_of(line) for line in lines]
    while steps and steps[-1] is None:
        steps.pop()
    if None in steps:
        raise _damaged(path, f"line {steps.index(None) + 1} is damaged")
    past = next((i for i, own in enumerate(steps) if own is None or own > step), len(steps))
    return [line + "\n" for line in lines[:past]]


def _read_lines(path: Path) -> list[str]:
    text = read_text(path, _WHAT, _REMEDY)
    return text.split("\n")[: text.count("\n") + (not text.endswith("\n"))]


def _step_of(line: str) -> int | None:
    """Returns the step number in a line, or None if the line is damaged."""
    try:
        step = parse_json(line)["step"]
    except (ValueError, KeyError, TypeError):
        return None
    return step if type(step) is int else None


_WHAT = "the metrics of this run"
_REMEDY = "restore it, or delete it to continue without the metrics of the earlier steps"


def _damaged(path: Path, reason: str) -> DamagedFile:
    return DamagedFile(path, _WHAT, reason, _REMEDY)
