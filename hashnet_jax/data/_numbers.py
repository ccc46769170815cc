"""Reads a table of numbers from a .npy, .npz or text file written by any program."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped

from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.reading import DamagedFile, array_names, read_npy, read_npz, read_text

REMEDY = "save it with np.save, np.savez or np.savetxt"

_MAGIC = {b"\x93NUMPY": "npy", b"PK\x03\x04": "npz"}
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
# Signs are optional except for -1, so "1-11" can only be 1, -1, 1.
_JOINED = re.compile(r"[01]{2,}|(?:[+-]?1){2,}")
_JOINED_ENTRY = re.compile(r"[+-]?[01]")
_LISTED_NAMES = 8


class Numbers(NamedTuple):
    """The numbers in a file.

    Attributes:
      name: the path as passed by the caller, with unprintable characters escaped.
      values: an array of booleans, integers or floats of any shape; ``[N, M]`` for a text file.
      lines: int64 ``[N]``, the line number of each row of a text file; None for other files.
    """

    name: str
    values: Shaped[np.ndarray, "..."]
    lines: Int64[np.ndarray, " N"] | None = None

    @property
    def form(self) -> str:
        """Describes the array, e.g. "int8 [200, 48]", or the size of the text file."""
        if self.lines is not None:
            return f"text, {len(self.lines):,} lines of {self.values.shape[1]:,} entries"
        return f"{self.values.dtype} {list(self.values.shape)}"

    def place(self, *index: int) -> str:
        """Describes an entry or row by its array index, or by its line number in a text file."""
        if self.lines is None:
            return f"{self.name}, entry {list(index)}"
        entry = f", entry {index[1] + 1}" if index[1:] else ""
        return f"{self.name}, line {self.lines[index[0]]}{entry}"


def read_numbers(source: str, what: str, *, joined: bool = False) -> Numbers:
    """Reads the numbers in a file.

    A file is in NumPy format if its suffix (`.npy` or `.npz`) or its first bytes say so. Any other
    file is text with one row per line, and entries separated by spaces, commas or semicolons. Empty
    lines and lines that start with ``#`` are skipped.

    Args:
      source: a path, or ``PATH:NAME`` for one of several arrays in a `.npz` file.
      what: what the file contains, for error messages, e.g. "binary codes".
      joined: whether the entries in a line of text may be written without separators, as in
        ``0110`` or ``+1-1-1+1``. Otherwise ``0110`` is refused, because it could be a number.

    Returns:
      The numbers.

    Raises:
      FileNotFoundError: if the file does not exist.
      DamagedFile: a ValueError, if the file is in none of these formats, is damaged or contains
        Python objects.
      ValueError: if the file is empty, its array is not boolean, integer or float, or it contains
        several arrays and ``source`` names none of them.
    """
    path, key = _split(source)
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"{printable(path)} must be a file with {what}, but it does not exist."
        )
    form = _form(path)
    if key is not None and form != "npz":
        raise ValueError(
            f"{printable(path)} must be a .npz file to contain an array named "
            f"{printable(key)!r}. Pass the path without a name."
        )
    if form == "text":
        numbers = _read_rows(path, what, joined)
    elif form == "npz":
        numbers = Numbers(printable(source), _read_member(path, key, what))
    else:
        numbers = Numbers(printable(source), read_npy(path, what, REMEDY, mmap=True))
    return _checked(numbers, what)


def _checked(numbers: Numbers, what: str) -> Numbers:
    if numbers.values.dtype.kind not in "biuf":
        raise ValueError(
            f"{numbers.name} must contain {what} as booleans, integers or floats, but its type is "
            f"{numbers.values.dtype}. Convert it, e.g. with array.astype(np.int8)."
        )
    if numbers.values.size == 0:
        raise ValueError(f"{numbers.name} must contain {what}, but it is empty ({numbers.form}).")
    return numbers


def _split(source: str) -> tuple[str, str | None]:
    """Splits ``PATH:NAME`` at the last colon, unless ``PATH:NAME`` is itself a file."""
    path, colon, key = source.rpartition(":")
    is_pair = colon and (os.path.lexists(path) or path.lower().endswith(".npz"))
    return (path, key) if is_pair and not os.path.lexists(source) else (source, None)


def _form(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".npy", ".npz"):
        return suffix[1:]
    refuse_pipe(path)
    with open(path, "rb") as file:
        start = file.read(6)
    return next((form for magic, form in _MAGIC.items() if start.startswith(magic)), "text")


def _read_member(path: str, key: str | None, what: str) -> Shaped[np.ndarray, "..."]:
    names = array_names(path, what, REMEDY)
    if key is None and len(names) == 1:
        key = names[0]
    if key not in names:
        shown = ", ".join(names[:_LISTED_NAMES]) + (", ..." if names[_LISTED_NAMES:] else "")
        raise ValueError(
            f"{printable(path)} must contain {what} as "
            f"{'its only array' if key is None else f'an array named {printable(key)!r}'}, but "
            f"contains {printable(shown) or 'no arrays'}. Choose one with {printable(path)}:NAME."
        )
    return read_npz(path, what, REMEDY, names=(key,))[key]


def _read_rows(path: str, what: str, joined: bool) -> Numbers:
    content = read_text(path, what, REMEDY).removeprefix("\ufeff")
    rows, lines = [], []
    for number, line in _lines(content):
        try:
            row = _entries(line, joined)
            if rows and len(row) != len(rows[0]):
                raise ValueError(
                    f"it has {len(row):,} entries, but line {lines[0]} has {len(rows[0]):,}"
                )
        except ValueError as error:
            raise DamagedFile(path, what, f"line {number}: {error}", REMEDY) from error
        rows.append(row)
        lines.append(number)
    values = np.array(rows) if rows else np.zeros((0, 0))
    return Numbers(printable(path), values, np.array(lines, np.int64))


def _lines(content: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(content.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line


def _entries(line: str, joined: bool) -> Shaped[np.ndarray, " M"]:
    if joined and _JOINED.fullmatch(line):
        return np.array([int(entry) for entry in _JOINED_ENTRY.findall(line)])
    if not joined and len(line) > 1 and line.isdigit() and line[0] == "0":
        raise ValueError(
            f"{_shortened(line)!r} starts with 0, but is not a class id; separate the entries of "
            f"multi-hot labels with spaces"
        )
    return np.array([_number(entry) for entry in _SEPARATOR.split(line)])


@functools.lru_cache(maxsize=4096)
def _number(entry: str) -> int | float:
    # Python's own conversions accept more: 1_000, digits of other scripts, nan.
    if re.fullmatch(r"[-+.\deE]+", entry, re.ASCII):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(entry)
    raise ValueError(f"{_shortened(entry)!r} is not a number")


def _shortened(text: str) -> str:
    return printable(text if len(text) <= 40 else text[:37] + "...")
