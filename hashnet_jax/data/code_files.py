"""Reads binary codes from files written by any program.

The encoding is detected from the array, and :attr:`CodeFile.encoding` describes it:

- Without ``bits``, each column is a bit, and its entries are -1 and +1, or 0 and 1.
- With ``bits`` K, an array either has K such columns, or is uint8 with ceil(K/8) columns that
  contain packed codes, as produced by :func:`numpy.packbits` or
  :func:`hashnet_jax.codes.pack_bits`.

Therefore, codes are treated as packed only if ``bits`` is given. For K = 1, both encodings have one
column, and the array is packed if it contains a value above 1.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from hashnet_jax.codes import bytes_per_code, check_packed, check_positive_int
from hashnet_jax.data._numbers import Numbers, read_numbers

WHAT = "binary codes"

_SHOWN = {-1: "-1 and +1", 0: "0 and 1", None: "+1 only"}
_ENTRIES_PER_BLOCK = 2**24


class CodeFile(NamedTuple):
    """The binary codes in a file.

    Attributes:
      name: the ``source`` passed to :func:`read_codes`, escaped for printing.
      packed: packed codes, uint8 ``[N, ceil(K/8)]``.
      bits: K, the number of bits per code.
      encoding: how the array was interpreted, e.g. "int8 [200, 48] of -1 and +1".
    """

    name: str
    packed: UInt8[np.ndarray, "N bytes"]
    bits: int
    encoding: str


def read_codes(source: str, *, bits: int | None = None) -> CodeFile:
    """Reads binary codes from a `.npy`, `.npz` or text file.

    Args:
      source: a path, or ``PATH:NAME`` for one of several arrays in a `.npz` file.
      bits: K, the number of bits per code; required for packed codes. By default, the number of
        columns.

    Returns:
      The codes.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if the file cannot be read, is empty, does not contain K bits per row, or has an
        entry that is not binary; the message names the first such entry.
      TypeError: if ``bits`` is not an int.

    Examples:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "codes.txt")
      ...     _ = path.write_text("1 -1 -1\\n+1 +1 -1\\n")
      ...     codes = read_codes(str(path))
      >>> codes.packed.tolist(), codes.bits, codes.encoding
      ([[128], [192]], 3, 'text, 2 lines of 3 entries of -1 and +1')
    """
    if bits is not None:
        check_positive_int("bits", bits)
    numbers = read_numbers(source, WHAT, joined=True)
    values = numbers.values
    if values.ndim != 2:
        raise ValueError(
            f"{numbers.name} must contain one code per row, [N, K], but it is {numbers.form}."
        )
    if bits is not None and _is_packed(values, bits):
        packed = np.ascontiguousarray(values)
        check_packed(numbers.name, packed, bits, zero_padding=True)
        return CodeFile(numbers.name, packed, bits, f"{numbers.form}, packed")
    if bits not in (None, values.shape[1]):
        raise ValueError(
            f"{numbers.name} must have {bits} columns, or be uint8 with {bytes_per_code(bits)} "
            f"columns if packed, since `bits` is {bits}, but it is {numbers.form}. Set `bits` to "
            "the number of bits per code."
        )
    packed, low = _packed(numbers)
    return CodeFile(numbers.name, packed, values.shape[1], f"{numbers.form} of {_SHOWN[low]}")


def _is_packed(values: Shaped[np.ndarray, "N M"], bits: int) -> bool:
    if values.dtype != np.uint8 or values.shape[1] != bytes_per_code(bits):
        return False
    return values.shape[1] != bits or bool((values > 1).any())


def _packed(numbers: Numbers) -> tuple[UInt8[np.ndarray, "N bytes"], int | None]:
    """Packs the codes.

    Returns:
      The packed codes, and the value of entries that are not 1: 0 or -1, or None if all are 1.
    """
    values = numbers.values
    n, bits = values.shape
    packed = np.empty((n, bytes_per_code(bits)), np.uint8)
    first: dict[int, int] = {}  # the first row that contains 0 or -1
    step = max(1, _ENTRIES_PER_BLOCK // bits)
    for start in range(0, n, step):
        block = np.asarray(values[start : start + step])
        _check_entries(numbers, block, start)
        for low in (0, -1):
            if low not in first and (block == low).any():
                first[low] = start + int(np.argmax((block == low).any(axis=1)))
        packed[start : start + step] = np.packbits(block > 0, axis=1)
    if len(first) == 2:
        row = first[0]
        place = numbers.place(row, int(np.argmax(values[row] == 0)))
        raise ValueError(
            f"{place}: codes must be -1 and +1, or 0 and 1, but this entry is 0, and others are "
            "-1. Use np.where(logits >= 0, 1, -1) instead of sign(logits), since sign(0) is 0."
        )
    return packed, next(iter(first), None)


def _check_entries(numbers: Numbers, block: Shaped[np.ndarray, "n K"], start: int) -> None:
    wrong = ~((block == 1) | (block == 0) | (block == -1))
    if not wrong.any():
        return
    row, column = (int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
    if block.dtype == np.uint8:
        remedy = "If the codes are packed, pass `bits`, the number of bits per code."
    else:
        remedy = "Pass binary codes, not logits, e.g. np.where(logits >= 0, 1, -1)."
    raise ValueError(
        f"{numbers.place(start + row, column)}: codes must be -1 and +1, or 0 and 1, but this "
        f"entry is {block[row, column]:g}. {remedy}"
    )
