"""List files of the field: what each image is for (training, query, database), and its labels.

A folder holds `train.txt`, `test.txt` (the queries) and `database.txt`; a line is an image::

    images/0001 (copy).jpg 0 1 0 1

its path, then a 0 or 1 for each class. The labels are the fields 0 and 1 at the end of the line,
so a path may hold spaces, but must not end in a field that is 0 or 1. Blank lines, Windows line
ends and a byte-order mark are skipped.
"""

import collections
import dataclasses
import os
import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

FILES = {"train": "train.txt", "query": "test.txt", "database": "database.txt"}

SHOWN = 20  # faults named in an error; the rest are counted

_LABELS = re.compile(r"(?:\s+[01])+$")


@dataclasses.dataclass(frozen=True)
class Lists:
    """The images of three list files. An image is one file: it has one index in all of them.

    Attributes:
      paths: resolved, of the N images.
      labels: multi-hot int8 ``[N, C]``.
      train, query, database: indices int64, in the order of the lines, without repeats.
      repeated: lines that name an image for a second time in the same file.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    train: np.ndarray
    query: np.ndarray
    database: np.ndarray
    repeated: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    file: str
    number: int
    path: str
    labels: str  # "0101": a character a class

    @property
    def where(self):
        return f"{self.file}, line {self.number}"


def read_lists(folder, image_root=None):
    """Reads the list files of a folder, and finds their images.

    Args:
      folder: of `train.txt`, `test.txt` and `database.txt`.
      image_root: folder that paths start from, if they are relative; by default ``folder``.

    Returns:
      :class:`Lists`.

    Raises:
      FileNotFoundError: if a list is missing, or an image, naming its lines.
      ValueError: for an empty list, lines of another form or with another number of labels, or an
        image whose labels differ between lines.

    All lines at fault are looked for; the first ``SHOWN`` are named, the rest counted.
    """
    folder = Path(folder).expanduser()
    root = folder if image_root is None else Path(image_root).expanduser()
    missing = [file for file in FILES.values() if not (folder / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"no {', '.join(missing)} in {folder}: --lists must name a folder that holds "
            f"{', '.join(FILES.values())}, each line `path 0 1 0 ...`."
        )
    lines = {part: _read(folder / file) for part, file in FILES.items()}
    everything = [line for of in lines.values() for line in of]
    n_classes = _check_form(everything)
    resolved = _resolve(everything, root)
    index_of, first, faults = {}, [], []
    for line in everything:
        index = index_of.setdefault(resolved[line.path], len(first))
        if index == len(first):
            first.append(line)
        elif line.labels != first[index].labels:
            faults.append(
                f"{line.where}: expected the labels of {first[index].where}, which is the same "
                f"image {line.path}, got others"
            )
    stop_at(faults, ValueError, "an image must have the same labels on all its lines")
    labels = np.frombuffer("".join(line.labels for line in first).encode(), np.uint8) - ord("0")
    parts = {
        part: np.array(list(dict.fromkeys(index_of[resolved[line.path]] for line in of)), np.int64)
        for part, of in lines.items()
    }
    return Lists(
        paths=tuple(index_of),
        labels=labels.astype(np.int8).reshape(len(first), n_classes),
        repeated=len(everything) - sum(len(of) for of in parts.values()),
        **parts,
    )


def _read(path):
    # Names of files are bytes: what is not UTF-8 passes through.
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        texts = [(number, text.strip()) for number, text in enumerate(file, 1)]
    lines = []
    for number, text in texts:
        found = _LABELS.search(text)
        end = found.start() if found else len(text)
        labels = "".join(text[end:].split())
        if text:
            lines.append(_Line(path.name, number, text[:end], labels))
    if not lines:
        raise ValueError(f"{path} must list at least one image, got none.")
    return lines


def _check_form(lines):
    """The number of labels of a line, C, the same on all; raises otherwise."""
    n_classes = collections.Counter(len(line.labels) for line in lines).most_common(1)[0][0]
    faults = []
    for line in lines:
        if len(line.labels) != n_classes or not n_classes or line.path in ("0", "1"):
            usual = (
                f"{n_classes} labels 0 or 1, as on most lines" if n_classes else "0 or 1 a class"
            )
            got = f"{_shortened(line.path)!r} and {len(line.labels)} labels"
            faults.append(f"{line.where}: expected a path and {usual}, got {got}")
    stop_at(faults, ValueError, "a line of the lists must be `path 0 1 0 ...`")
    return n_classes


def _resolve(lines, root):
    """{path as listed: path of the file}; raises if there is none."""
    resolved, faults = {}, []
    bar = tqdm(lines, desc="finding images", unit="image", disable=None, leave=False)
    for line in bar:
        if line.path not in resolved:
            path = os.path.realpath(root / line.path)
            resolved[line.path] = path if os.path.isfile(path) else None
        if resolved[line.path] is None:
            faults.append(f"{line.where}: expected an image, got no file {root / line.path}")
    stop_at(
        faults,
        FileNotFoundError,
        "the images of the lists must be there, at the path from --image-root",
    )
    return resolved


def stop_at(faults, error, rule):
    """Raises ``error`` if there are faults: the rule, the first ``SHOWN``, and how many more."""
    if faults:
        more = [f"and {len(faults) - SHOWN:,} more"] if len(faults) > SHOWN else []
        lines = "line breaks" if len(faults) == 1 else "lines break"
        shown = "\n  ".join(faults[:SHOWN] + more)
        raise error(f"{rule}, but {len(faults):,} {lines} this:\n  {shown}")


def _shortened(text, limit=80):
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"
