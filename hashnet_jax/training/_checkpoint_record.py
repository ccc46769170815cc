"""The record saved with each checkpoint: data position, validation MAP, and a hash of the arrays.

The record also contains a hash of its own content, so any later change to the record or the arrays
is detected when the checkpoint is read. orbax saves both atomically.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hashnet_jax.distributed.reading import DamagedFile, damage_named, read_json
from hashnet_jax.distributed.seals import is_sealed, sealed, unsealed

_WHAT = "a checkpoint of this run"
_REMEDY = "restore it, or delete this checkpoint to continue from an earlier one"


class Record(NamedTuple):
    """The contents of a checkpoint besides its arrays.

    Attributes:
      step: training step of the checkpoint.
      position: position in the data, a JSON object.
      validation_map: MAP on the validation queries in 0..1, or None if it was not measured.
      best_step: step with the best validation MAP so far, or None if none was measured.
      run: text that identifies the run that wrote the checkpoint; "" if unknown.
      arrays_sha256: hash of the arrays; None if version 0.1 wrote the checkpoint.
    """

    step: int
    position: dict[str, Any]
    validation_map: float | None = None
    best_step: int | None = None
    run: str = ""
    arrays_sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the record as a JSON object with a hash of its content."""
        return sealed(self._asdict())


def record_from_json(content: Mapping[str, Any], *, step: int, run: str) -> Record:
    """Restores a record from JSON.

    Args:
      content: the output of :meth:`Record.to_json`, or only the position if written by version 0.1.
      step: the step under which the checkpoint is stored.
      run: text that identifies the run that reads the checkpoint.

    Raises:
      ValueError: if the record is damaged, or comes from another step or another run.

    Examples:
      >>> record = Record(3, {"next_batch": 3}, run="a")
      >>> record_from_json(record.to_json(), step=3, run="b")
      Traceback (most recent call last):
      ...
      ValueError: it was written by another run
    """
    if not is_sealed(content):
        if content.keys() & {*Record._fields} - {"step"}:
            raise ValueError("its record has no hash")
        if content.get("next_batch", step) != step:
            raise ValueError(f"it was saved at step {str(content['next_batch'])[:60]}")
        return Record(step, {"next_batch": step, **content})
    record = Record(**unsealed(content))
    if record.step != step:
        raise ValueError(f"it was saved at step {record.step}")
    if record.run != run:
        raise ValueError("it was written by another run")
    return record


def old_validation_map(path: Path) -> float | None:
    """Reads the MAP that version 0.1 stored in a separate file; None if it was not measured."""
    file = path / "metrics" / "metrics"
    if not file.is_file():
        return None
    score = float(read_json(file, _WHAT, _REMEDY)["validation_map"])
    return score if score >= 0 else None


@contextlib.contextmanager
def checkpoint_damage_named(path: Path) -> Iterator[None]:
    """Converts any error while reading a checkpoint to a DamagedFile that names the checkpoint.

    Unlike :func:`hashnet_jax.distributed.reading.damage_named`, this also converts errors from
    the operating system, because a checkpoint with a missing file is damaged.
    """
    with damage_named(path, _WHAT, _REMEDY):
        try:
            yield
        except OSError as error:
            raise DamagedFile(path, _WHAT, " ".join(str(error).split()), _REMEDY) from error


def check_regular_files(path: Path) -> None:
    """Raises a ValueError if a folder contains anything but files and folders.

    Reading a named pipe, or a link to one, would block forever.
    """
    for inner in path.rglob("*"):
        if not inner.is_file() and not inner.is_dir():
            raise ValueError(f"{inner.relative_to(path)} is not a regular file")
