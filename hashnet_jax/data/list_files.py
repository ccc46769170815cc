"""Reads list files, the usual format for labels and splits in the hashing literature.

A folder contains `train.txt`, `test.txt` (the queries) and `database.txt`, with one line per
image::

    images/0001 (copy).jpg 0 1 0 1

The path is followed by a 0 or 1 for each class. All trailing 0/1 fields are labels, so a path may
contain spaces but must not end in such a field. Blank lines, Windows line endings and a byte-order
mark are ignored.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int8, Int64
from tqdm import tqdm

from hashnet_jax.distributed.printing import printable

LIST_FILES = {"train": "train.txt", "query": "test.txt", "database": "database.txt"}

# Error messages list at most this many faults; the rest are only counted.
MAX_FAULTS_SHOWN = 20

# The labels at the end of a line, matched against the reversed line. Without the possessive
# quantifiers, a long line would take time quadratic in its length.
_REVERSED_LABELS = re.compile(r"(?:[01]\s++)*+")


@dataclasses.dataclass(frozen=True, eq=False)
class Lists:
    """The images in the three list files; an image that is in several lists has a single index.

    Attributes:
      paths: resolved paths to the N images.
      labels: multi-hot labels, int8 ``[N, C]``.
      train, query, database: image indices, int64, in line order, without duplicates.
      repeated: number of lines that repeat an image listed earlier in the same file.
    """

    paths: tuple[str, ...]
    labels: Int8[np.ndarray, "N C"]
    train: Int64[np.ndarray, " n_train"]
    query: Int64[np.ndarray, " n_query"]
    database: Int64[np.ndarray, " n_database"]
    repeated: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """A line of a list file; ``labels`` has one character per class, e.g. "0101"."""

    file: str
    number: int
    path: str
    labels: str

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.number}"


def read_lists(
    folder: str | os.PathLike[str], image_root: str | os.PathLike[str] | None = None
) -> Lists:
    """Reads the list files in a folder, and locates their images.

    All lines are checked. An error message shows the first ``MAX_FAULTS_SHOWN`` faults and the
    number of remaining faults.

    Args:
      folder: folder with `train.txt`, `test.txt` and `database.txt`.
      image_root: folder that the listed paths are relative to; by default ``folder``.

    Returns:
      :class:`Lists`.

    Raises:
      FileNotFoundError: if a list or an image is missing.
      ValueError: if a list is empty, a line is malformed, lines have different numbers of labels,
        or two lines give the same image different labels.
    """
    folder = Path(folder).expanduser()
    root = folder if image_root is None else Path(image_root).expanduser()
    missing = [file for file in LIST_FILES.values() if not (folder / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"`lists` must be a folder with {', '.join(LIST_FILES.values())}, but {folder} lacks "
            f"{', '.join(missing)}. Each line of these files must be `path 0 1 0 ...`."
        )
    lines_of = {part: _read_lines(folder / file) for part, file in LIST_FILES.items()}
    lines = [line for part in lines_of.values() for line in part]
    n_classes = _count_labels(lines)
    file_of = _resolve(lines, root)
    first = _first_lines(lines, file_of)
    index_of = {path: index for index, path in enumerate(first)}
    indices = {
        part: np.array(
            list(dict.fromkeys(index_of[file_of[line.path]] for line in part_lines)), np.int64
        )
        for part, part_lines in lines_of.items()
    }
    return Lists(
        paths=tuple(first),
        labels=_multi_hot((line.labels for line in first.values()), n_classes),
        repeated=len(lines) - sum(len(part) for part in indices.values()),
        **indices,
    )


def raise_faults(faults: Sequence[str], error: type[Exception], rule: str) -> None:
    """If there are any faults, raises ``error`` with the violated rule and the first few faults."""
    if faults:
        hidden = len(faults) - MAX_FAULTS_SHOWN
        more = [f"and {hidden:,} more"] if hidden > 0 else []
        verb = "line violates" if len(faults) == 1 else "lines violate"
        shown = "\n  ".join([*faults[:MAX_FAULTS_SHOWN], *more])
        raise error(f"{rule}, but {len(faults):,} {verb} this rule:\n  {shown}")


def _read_lines(path: Path) -> list[_Line]:
    # File names are bytes: surrogateescape preserves those that are not UTF-8.
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        texts = [(number, text.strip()) for number, text in enumerate(file, 1)]
    lines = []
    for number, text in texts:
        if "\0" in text:
            raise ValueError(
                f"{printable(path)} must be UTF-8 text, but line {number} contains a NUL "
                "character. Save the list as UTF-8."
            )
        end = len(text) - _length_of_labels(text)
        labels = "".join(text[end:].split())
        if text:
            lines.append(_Line(path.name, number, text[:end], labels))
    if not lines:
        raise ValueError(f"{printable(path)} must list at least one image, but it is empty.")
    return lines


def _length_of_labels(line: str) -> int:
    """Returns the length of the 0/1 fields at the end of a line, including preceding spaces."""
    found = _REVERSED_LABELS.match(line[::-1])
    return found.end() if found else 0


def _count_labels(lines: Sequence[_Line]) -> int:
    """Returns C, the number of labels per line; raises a ValueError if the number varies."""
    n_classes = collections.Counter(len(line.labels) for line in lines).most_common(1)[0][0]
    usual = f"{n_classes} labels (0 or 1), as on most lines"
    expected = usual if n_classes else "a 0 or 1 for each class"
    faults = [
        f"{line.where}: expected a path and {expected}, got {shortened(line.path)!r} and "
        f"{len(line.labels)} labels"
        for line in lines
        if len(line.labels) != n_classes or not n_classes or line.path in ("0", "1")
    ]
    raise_faults(faults, ValueError, "each line of the lists must be `path 0 1 0 ...`")
    return n_classes


def _resolve(lines: Sequence[_Line], root: Path) -> dict[str, str]:
    """Maps paths in the lists to file paths; raises a FileNotFoundError if files are missing."""
    resolved: dict[str, str] = {}
    missing: set[str] = set()
    faults = []
    bar = tqdm(lines, desc="finding images", unit="image", disable=None, leave=False)
    for line in bar:
        if line.path not in resolved:
            resolved[line.path] = os.path.realpath(root / line.path)
            if not os.path.isfile(resolved[line.path]):
                missing.add(line.path)
        if line.path in missing:
            faults.append(f"{line.where}: file not found: {printable(root / line.path)}")
    rule = "each image in the lists must exist at its path relative to `image_root`"
    raise_faults(faults, FileNotFoundError, rule)
    return resolved


def _first_lines(lines: Sequence[_Line], file_of: Mapping[str, str]) -> dict[str, _Line]:
    """Maps each file path to the first line that lists it.

    Raises:
      ValueError: if two lines list the same file with different labels.
    """
    first: dict[str, _Line] = {}
    faults = []
    for line in lines:
        earlier = first.setdefault(file_of[line.path], line)
        if line.labels != earlier.labels:
            faults.append(
                f"{line.where}: the labels of {printable(line.path)} differ from those in "
                f"{earlier.where}, which lists the same image"
            )
    raise_faults(faults, ValueError, "an image must have the same labels on all its lines")
    return first


def _multi_hot(rows: Iterable[str], n_classes: int) -> Int8[np.ndarray, "N C"]:
    digits = np.frombuffer("".join(rows).encode(), np.uint8) - ord("0")
    return digits.astype(np.int8).reshape(-1, n_classes)


def shortened(text: str, limit: int = 80) -> str:
    """Returns the text, with its middle replaced by "..." if it is longer than ``limit``."""
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"
