"""Files that are appended to and hashed at the same time."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from hashnet_jax.distributed.reading import DamagedFile, file_exists

WRITTEN = "the file described by journal.json"
_BYTES_PER_READ = 2**20


class GrowingFile:
    """A file opened for appending, with a running SHA-256 of its content after the header.

    Args:
      file: the file, open for reading and writing.
      header: number of bytes at the start that are not hashed.
      end: number of valid bytes; the rest of the file is cut off.
    """

    def __init__(self, file: BinaryIO, *, header: int, end: int) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        file.truncate(end)
        _update(self._hash, file, header, end)
        file.seek(0, os.SEEK_END)

    def write(self, data: bytes) -> None:
        """Appends ``data``."""
        self._file.write(data)
        self._hash.update(data)

    def sync(self) -> None:
        """Flushes the file to disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def tell(self) -> int:
        """Returns the number of bytes in the file."""
        return self._file.tell()

    def sha256(self) -> str:
        """Returns the SHA-256 of the content after the header."""
        return self._hash.hexdigest()


@contextlib.contextmanager
def open_growing(
    folder: Path, ends: Mapping[str, int], headers: Mapping[str, int]
) -> Iterator[dict[str, GrowingFile]]:
    """Opens files for appending, after truncating each file to its length in ``ends``."""
    with contextlib.ExitStack() as stack:
        yield {
            name: GrowingFile(
                stack.enter_context(open(folder / name, "r+b")),
                header=headers.get(name, 0),
                end=end,
            )
            for name, end in ends.items()
        }


def check_start(path: Path, *, header: int, end: int, sha256: str, remedy: str) -> None:
    """Checks that the valid part of a file matches the recorded hash.

    Args:
      path: path to the file.
      header: number of bytes at the start that are not hashed.
      end: number of valid bytes, including the header.
      sha256: recorded SHA-256 of the bytes from ``header`` to ``end``.
      remedy: see :class:`hashnet_jax.distributed.reading.DamagedFile`.

    Raises:
      DamagedFile: if the file is missing, is too short or has different content.
    """
    if not file_exists(path, WRITTEN, remedy):
        raise DamagedFile(path, WRITTEN, "it is missing", remedy)
    found = hashlib.sha256()
    with open(path, "rb") as file:
        _update(found, file, header, end)
    if found.hexdigest() != sha256:
        reason = f"its first {end:,} bytes have a different SHA-256"
        raise DamagedFile(path, WRITTEN, reason, remedy)


def _update(running: "hashlib._Hash", file: BinaryIO, start: int, end: int) -> None:
    file.seek(start)
    left = end - start
    while left > 0 and (data := file.read(min(left, _BYTES_PER_READ))):
        running.update(data)
        left -= len(data)
