"""Reads picture labels from a CSV file with one line per picture::

    path,labels
    beach/0001.jpg,sea;sand
    "a, b.png",sky

The header is optional. Labels are separated by ``;``. The file must be encoded as UTF-8, and fields
that contain a comma must be quoted. Spaces around a path are ignored, unless a file with these
spaces in its name exists.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hashnet_jax.data.list_files import raise_faults, shortened
from hashnet_jax.distributed.printing import printable

_RULE = "each line of the CSV file must be `path,label1;label2`"


class _Picture(NamedTuple):
    """The name and labels of a picture, and its line number in the file."""

    name: str
    labels: tuple[str, ...]
    line: int


def read_csv(file: Path, root: Path) -> tuple[dict[str, tuple[str, ...]], int]:
    """Reads the labels of pictures from a CSV file.

    If several lines list the same picture with the same labels, they count as one picture, even if
    the paths are written differently, such as ``a.png`` and ``./a.png``.

    Args:
      file: CSV file with lines ``path,label1;label2``.
      root: folder that paths are relative to.

    Returns:
      ``({path: labels}, repeated)``, where paths and labels are sorted, and ``repeated`` is the
      number of lines that repeat a picture.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if a line is malformed, or a picture has different labels on two lines.
    """
    if not file.is_file():
        raise FileNotFoundError(f"`csv` must be an existing file, but there is none at {file}.")
    first: dict[str, _Picture] = {}
    faults, repeated = [], 0
    for number, row in _rows(file, faults):
        fault = _fault(row)
        if fault is None:
            picture = _Picture(_path(row[0], root), _labels(row[1]), number)
            earlier = first.setdefault(os.path.realpath(root / picture.name), picture)
            repeated += earlier is not picture
            fault = _conflict(picture, earlier)
        if fault is not None:
            faults.append(f"{printable(file.name)}, line {number}: {fault}")
    raise_faults(faults, ValueError, _RULE)
    return {picture.name: picture.labels for picture in sorted(first.values())}, repeated


def _rows(file: Path, faults: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields ``(line number, fields)``; stops at a CSV error, and records it in ``faults``."""
    # File names are bytes: surrogateescape preserves those that are not UTF-8.
    with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        lines = csv.reader(opened, strict=True)
        try:
            for row in lines:
                if row and not (lines.line_num == 1 and row == ["path", "labels"]):
                    yield lines.line_num, row
        except csv.Error as error:
            faults.append(f"{printable(file.name)}, line {lines.line_num}: {error}")


def _fault(row: list[str]) -> str | None:
    """Returns a description of what is wrong with a line, or None if it is well-formed."""
    if any("\0" in field for field in row):
        return "it contains a NUL character; save the file as UTF-8 text"
    if len(row) != 2 or not row[0].strip():
        return f"expected `path,label1;label2`, got {shortened(str(row))}"
    return None


def _conflict(picture: _Picture, earlier: _Picture) -> str | None:
    if picture.labels == earlier.labels:
        return None
    return (
        f"the labels of {shortened(picture.name)!r} differ from those on line {earlier.line}, "
        "which lists the same picture"
    )


def _path(field: str, root: Path) -> str:
    path = field.strip()
    return field if field != path and os.path.lexists(root / field) else path


def _labels(field: str) -> tuple[str, ...]:
    return tuple(sorted({label.strip() for label in field.split(";")} - {""}))
