"""Reads `.npy` and `.npz` files, after checking the sizes declared in their headers."""

import ast
import math
import os
import struct
import threading
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from hashnet_jax.distributed._damage import StrPath, damage_named
from hashnet_jax.distributed.files import refuse_pipe

# NumPy's own headers are far shorter; parsing a longer one as a Python literal can crash.
_MAX_HEADER_BYTES = 10_000
# In Python 3.11, two threads that parse Python literals can interfere with each other if the
# garbage collector runs callbacks, as JAX's does. Valid headers are then rejected. NumPy also
# parses literals.
PARSING = threading.Lock()
_ARCHIVE_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArrayHeader(NamedTuple):
    """The shape and dtype that an array's header declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_npy(path: StrPath, what: str, remedy: str, *, mmap: bool = False) -> np.ndarray:
    """Reads a `.npy` file.

    Args:
      path: path to the `.npy` file.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.
      mmap: whether to map the file into memory, read-only, instead of reading it.

    Returns:
      The array.

    Raises:
      DamagedFile: if the file is not a `.npy` file, or its size does not match its header.
      OSError: if the file cannot be read.

    Examples:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "codes.npy")
      ...     np.save(path, np.zeros((2, 3), np.uint8))
      ...     read_npy(path, "codes", "restore it").shape
      (2, 3)
    """
    refuse_pipe(path)
    with damage_named(path, what, remedy), open(path, "rb") as file:
        header, _ = read_header(file)
        check_size(header, os.fstat(file.fileno()).st_size - file.tell())
        with PARSING:
            if mmap and math.prod(header.shape):
                return np.load(path, mmap_mode="r", allow_pickle=False)
            file.seek(0)
            return np.load(file, allow_pickle=False)


def read_npz(
    path: StrPath,
    what: str,
    remedy: str,
    *,
    names: Collection[str] | None = None,
    check: Callable[[Mapping[str, ArrayHeader]], object] | None = None,
) -> dict[str, np.ndarray]:
    """Reads the arrays in a `.npz` file.

    Args:
      path: path to the file.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.
      names: names of the arrays to read; by default, all arrays.
      check: function that receives the headers of all arrays before any array is read, and raises
        a ValueError with the reason if they are wrong.

    Returns:
      The arrays, keyed by name.

    Raises:
      DamagedFile: if the file is not a `.npz` file, the size of an array does not match its header,
        a checksum is wrong, the arrays do not fit in the machine's memory, or ``check`` raises an
        error.
      OSError: if the file cannot be read.

    Examples:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "split.npz")
      ...     np.savez(path, train=np.arange(3))
      ...     read_npz(path, "a split", "restore it")["train"]
      array([0, 1, 2])
    """
    refuse_pipe(path)
    with damage_named(path, what, remedy), zipfile.ZipFile(path) as archive:
        members = {array_name(member): member for member in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("an array appears twice")
        chosen = list(members) if names is None else list(names)
        read = chosen if check is None else members
        headers = {name: _member_header(archive, members[name]) for name in read}
        if check is not None:
            check(headers)
        _check_memory(sum(members[name].file_size for name in chosen))
        return {name: _read_member(archive, members[name]) for name in chosen}


def array_names(path: StrPath, what: str, remedy: str) -> list[str]:
    """Returns the names of the arrays in a `.npz` file, without reading the arrays.

    Args:
      path: path to the file.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.

    Raises:
      DamagedFile: if the file is not a `.npz` file.
      OSError: if the file cannot be read.

    Examples:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "split.npz")
      ...     np.savez(path, train=np.arange(3), query=np.arange(2))
      ...     array_names(path, "a split", "restore it")
      ['train', 'query']
    """
    refuse_pipe(path)
    with damage_named(path, what, remedy), zipfile.ZipFile(path) as archive:
        return [array_name(member) for member in archive.infolist()]


def array_name(member: zipfile.ZipInfo) -> str:
    """Returns the name of the array in a member of a `.npz` file."""
    if member.compress_type not in _ARCHIVE_METHODS or member.flag_bits & 1:
        raise ValueError(
            f"{member.filename!r} is encrypted or uses an unsupported compression method"
        )
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename!r} is not an array")
    return member.filename.removesuffix(".npy")


def _member_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayHeader:
    with archive.open(member) as file:
        header, _ = read_header(file)
        check_size(header, member.file_size - file.tell())
    return header


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file, PARSING:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # zipfile verifies the checksum at the end of the file
    return array


def read_header(file: BinaryIO | Any) -> tuple[ArrayHeader, bool]:
    """Reads the header of a `.npy` file, up to the start of the data.

    Returns:
      The header, and whether the array is stored in Fortran order.
    """
    version = np.lib.format.read_magic(file)
    if version not in {(1, 0), (2, 0), (3, 0)}:
        raise ValueError(f"its .npy format version is not supported: {version}")
    length_format = "<H" if version == (1, 0) else "<I"
    prefix = file.read(struct.calcsize(length_format))
    (length,) = struct.unpack(length_format, prefix)
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"its header is too long ({length:,} bytes)")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("its header is truncated")
    try:
        with PARSING:
            literal = text.decode("utf-8" if version == (3, 0) else "latin1").strip()
            fields = ast.literal_eval(literal)
        shape, dtype = fields["shape"], np.lib.format.descr_to_dtype(fields["descr"])
    except Exception as error:  # a damaged Python literal can raise almost any exception
        raise ValueError("its header cannot be parsed") from error
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or dtype.hasobject or set(fields) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header does not describe an array of numbers")
    return ArrayHeader(shape, dtype), bool(fields["fortran_order"])


def check_size(header: ArrayHeader, n_bytes: int) -> None:
    """Raises a ValueError unless a header declares ``n_bytes`` bytes of data."""
    expected = math.prod(header.shape) * header.dtype.itemsize
    if expected != n_bytes:
        raise ValueError(
            f"its header declares {expected:,} bytes ({header.dtype} {list(header.shape)}), but "
            f"{n_bytes:,} bytes of data follow"
        )


def _check_memory(n_bytes: int) -> None:
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > limit:
        raise ValueError(f"it unpacks to {n_bytes:,} bytes, more than this machine's memory")
