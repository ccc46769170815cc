"""Reads picture labels from a CSV file with one line per picture::

    path,labels
    beach/0001.jpg,sea;sand
    "a, b.png",sky

The header is optional. Labels are separated by ``;``. The file is UTF-8; fields that contain
a comma are quoted.
"""

import csv
from pathlib import Path

from hashnet_jax.data.list_files import raise_faults


def read_csv(file: Path) -> dict[str, tuple[str, ...]]:
    """Reads each picture's labels.

    Args:
      file: CSV file with lines ``path,label1;label2``.

    Returns:
      ``{path: labels}``, with paths and labels sorted.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if a line is malformed, or a picture is on more than one line.
    """
    if not file.is_file():
        raise FileNotFoundError(f"`csv` must be a file, but there is none at {file}.")
    labels: dict[str, tuple[str, ...]] = {}
    faults = []
    with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        lines = csv.reader(opened, strict=True)
        try:
            for row in lines:
                if not row or (lines.line_num == 1 and row == ["path", "labels"]):
                    continue
                fault = _fault(row, labels)
                if fault is None:
                    labels[row[0]] = _labels(row[1])
                else:
                    faults.append(f"{file.name}, line {lines.line_num}: {fault}")
        except csv.Error as error:
            faults.append(f"{file.name}, line {lines.line_num}: {error}")
    raise_faults(faults, ValueError, "each line of the CSV file must be `path,label1;label2`")
    return dict(sorted(labels.items()))


def _fault(row: list[str], earlier: dict[str, tuple[str, ...]]) -> str | None:
    """Describes what is wrong with a line; None if it is valid."""
    if len(row) != 2 or not row[0]:
        return f"expected `path,label1;label2`, got {row}"
    if row[0] in earlier:
        return f"expected each picture once, got {row[0]!r} again"
    return None


def _labels(field: str) -> tuple[str, ...]:
    return tuple(sorted({label.strip() for label in field.split(";")} - {""}))
