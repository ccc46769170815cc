"""Reads the arrays of a `.npz` file and hashes the same file."""

import concurrent.futures
import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Sequence

import numpy as np

from hashnet_jax.distributed._array_files import array_name, check_size, read_header
from hashnet_jax.distributed._damage import StrPath, damage_named
from hashnet_jax.distributed.files import refuse_pipe

# JAX uses an array that starts at a multiple of this many bytes without copying it.
_ALIGNMENT = 64

# Large, because other threads may run only between two blocks.
_BLOCK_BYTES = 2**24

# The fixed part of a member's header in a zip file, which ends with the lengths of the two variable
# parts that follow it.
_MEMBER_HEADER = struct.Struct("<26x2H")


def read_hashed_npz(path: StrPath, what: str, remedy: str) -> tuple[dict[str, np.ndarray], str]:
    """Reads a `.npz` file, and computes its SHA-256.

    Unlike :func:`hashnet_jax.distributed.reading.read_npz`, this function does not verify the
    checksums of the arrays: compare the hash with the expected one. Hashing and reading run in
    parallel, and block other threads of the process only briefly.

    Args:
      path: path to the file.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.

    Returns:
      The arrays, keyed by name; and the SHA-256 of the file.

    Raises:
      DamagedFile: if the file is not an uncompressed `.npz` file, or the size of an array does not
        match its header.
      OSError: if the file cannot be read.

    Examples:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "split.npz")
      ...     np.savez(path, train=np.arange(3))
      ...     arrays, sha256 = read_hashed_npz(path, "a split", "restore it")
      >>> arrays["train"], len(sha256)
      (array([0, 1, 2]), 64)
    """
    refuse_pipe(path)
    with (
        damage_named(path, what, remedy),
        open(path, "rb") as file,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        digest = pool.submit(_sha256, file.fileno())
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        _check_members(members, os.fstat(file.fileno()).st_size)
        arrays = {array_name(member): _read_member(file, member) for member in members}
        return arrays, digest.result()


def _sha256(descriptor: int) -> str:
    """Hashes a file without moving its position."""
    digest, start = hashlib.sha256(), 0
    while block := os.pread(descriptor, _BLOCK_BYTES, start):
        digest.update(block)
        start += len(block)
    return digest.hexdigest()


def _check_members(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    # Overlapping members would let a small file unpack to any size.
    if sum(member.file_size for member in members) > size:
        raise ValueError("its arrays are larger than the file")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("an array appears twice")


def _read_member(file: io.BufferedReader, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename!r} is compressed")
    file.seek(member.header_offset)
    lengths = _MEMBER_HEADER.unpack(file.read(_MEMBER_HEADER.size))
    start = file.seek(sum(lengths), os.SEEK_CUR)
    header, is_fortran = read_header(file)
    size = member.file_size - (file.tell() - start)
    check_size(header, size)
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    first = -buffer.ctypes.data % _ALIGNMENT
    data = buffer[first : first + size]
    if file.readinto(data.data) != size:
        raise ValueError(f"{member.filename!r} is truncated")
    return data.view(header.dtype).reshape(header.shape, order="F" if is_fortran else "C")
