"""Atomic writes, hashes, and locks against other processes."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file atomically: it appears complete or not at all, even if the machine crashes.

    The content is written to a hidden file ``.NAME.PID.partial`` in the same folder, flushed to
    disk, and then renamed. Two processes can safely write the same file: the last one wins.

    Args:
      path: path of the file, in an existing folder.
      write: function that takes an open binary file and writes the content to it.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_whole(Path(folder, "greeting"), lambda file: file.write(b"hello"))
      ...     [path.name for path in Path(folder).iterdir()]
      ['greeting']
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flushes a folder's entries to disk, where the file system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's content as 64 hexadecimal digits.

    Examples:
      >>> sha256(os.devnull)[:8]
      'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[None]:
    """Holds an exclusive lock, which the operating system releases however this process ends.

    Args:
      path: path of the lock file, which is not deleted afterwards.
      busy: error message if another process holds the lock.

    Raises:
      BlockingIOError: with the message ``busy``, if another process holds the lock.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with exclusive_lock(Path(folder, ".lock"), "another process is writing"):
      ...         pass
    """
    import fcntl  # POSIX only

    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(busy) from error
        yield
