"""Reads class ids or multi-hot labels from files written by any program.

A one-dimensional array, or text with one number per line, contains class ids. An array ``[N, C]``,
or text with C numbers per line, contains multi-hot labels of 0 and 1. A column ``[N, 1]`` contains
class ids, but it is rejected if all entries are 0 or 1, because it could also contain multi-hot
labels of a single class.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from hashnet_jax.data._numbers import Numbers, read_numbers

WHAT = "class ids or multi-hot labels"


class LabelFile(NamedTuple):
    """The labels in a file.

    Attributes:
      name: the ``source`` that was read, escaped so that it is safe to print.
      values: class ids, int64 ``[N]``, or multi-hot labels, bool ``[N, C]``.
      encoding: how the array was interpreted, e.g. "int64 [200], class ids".
    """

    name: str
    values: Int64[np.ndarray, " N"] | Bool[np.ndarray, "N C"]
    encoding: str


def read_labels(source: str) -> LabelFile:
    """Reads class ids or multi-hot labels from a `.npy`, `.npz` or text file.

    Args:
      source: a path, or ``PATH:NAME`` for one of several arrays in a `.npz` file.

    Returns:
      The labels.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if the file cannot be read, is empty, has an unsupported shape, or contains an
        entry that is neither a class id nor 0 or 1; the message names the first such entry.

    Examples:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "labels.csv")
      ...     _ = path.write_text("0,1,1\\n1,0,0\\n")
      ...     labels = read_labels(str(path))
      >>> labels.values.astype(int).tolist(), labels.encoding
      ([[0, 1, 1], [1, 0, 0]], 'text, 2 lines of 3 entries, multi-hot labels')
    """
    numbers = read_numbers(source, WHAT)
    values = numbers.values
    if values.ndim not in (1, 2):
        raise ValueError(
            f"{numbers.name} must be class ids [N] or multi-hot labels [N, C], but is "
            f"{numbers.form}."
        )
    if values.ndim == 1 or (values.shape[1] == 1 and values.dtype != bool):
        return LabelFile(numbers.name, _class_ids(numbers), f"{numbers.form}, class ids")
    return LabelFile(numbers.name, _multi_hot(numbers), f"{numbers.form}, multi-hot labels")


def _class_ids(numbers: Numbers) -> Int64[np.ndarray, " N"]:
    values = np.asarray(numbers.values).reshape(-1)
    if values.dtype == bool:
        raise ValueError(
            f"{numbers.name} must be class ids [N] or multi-hot labels [N, C], but is "
            f"{numbers.form}. Convert it with array.astype(int) if False and True are two classes."
        )
    # A float64 above 2**53 may have lost digits, and a larger integer does not fit in int64.
    limit = 2**63 if values.dtype.kind in "iu" else 2**53
    with np.errstate(invalid="ignore"):
        wrong = ~((np.abs(values.astype(float)) < limit) & (values == np.floor(values)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{numbers.place(row)}: class ids must be integers, but this entry is {values[row]}. "
            "Number the classes, e.g. with np.unique(labels, return_inverse=True)."
        )
    ids = values.astype(np.int64)
    if numbers.lines is None and numbers.values.ndim == 2 and not ((ids < 0) | (ids > 1)).any():
        raise ValueError(
            f"{numbers.name} must be class ids [N] or multi-hot labels [N, C] of several classes, "
            f"but is {numbers.form} of zeros and ones. Convert it with array.ravel() if it "
            "contains class ids, or with array.astype(bool) if it contains multi-hot labels of a "
            "single class."
        )
    return ids


def _multi_hot(numbers: Numbers) -> Bool[np.ndarray, "N C"]:
    values: Shaped[np.ndarray, "N C"] = np.asarray(numbers.values)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row, column = (int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
        raise ValueError(
            f"{numbers.place(row, column)}: multi-hot labels must be 0 or 1, but this entry is "
            f'{values[row, column]:g}. If -1 means "not of this class", save labels > 0 instead. '
            "If these are class ids, write one per row."
        )
    return values != 0
