"""Atomic file writes, file hashes, the user's cache folder, and locks between processes."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

# The errno values returned by file systems that do not support the call, e.g. network ones.
_CANNOT_SYNC_FOLDERS = {errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}
_DISK_FAULTS = {errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS}


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file atomically: it appears complete or not at all, even if the machine crashes.

    The content is written to a hidden file ``.NAME.PID.partial`` in the same folder, flushed to
    disk, and then renamed. Two processes can safely write the same file; the last write wins.

    Args:
      path: path to the file, in an existing folder.
      write: function that writes the content to an open binary file.

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
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is the cause
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _named(error, path) from error
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def disk_faults_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Adds the path to disk errors that do not name a file, such as those raised by ``write``.

    Args:
      path: the file or folder that is written within the block.

    Examples:
      >>> with disk_faults_named("run/metrics.jsonl"):
      ...     raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      Traceback (most recent call last):
      ...
      OSError: [Errno 28] No space left on device: 'run/metrics.jsonl'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _DISK_FAULTS:
            raise _named(error, path) from error
        raise


def remove_folder(folder: Path) -> None:
    """Deletes a folder and its contents.

    Raises:
      OSError: if the folder or a file in it cannot be deleted. The error always names the folder,
        whereas an error from ``shutil.rmtree`` may name only the file.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     make_folder(Path(parent, "runs", "first"))
      ...     remove_folder(Path(parent, "runs"))
      ...     os.listdir(parent)
      []
    """
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise _named(error, folder) from error


def make_folder(folder: Path) -> None:
    """Creates a folder and any missing parents, and flushes them so that they survive a crash.

    Args:
      folder: path to the folder.

    Raises:
      OSError: if the folder cannot be created, e.g. FileExistsError if a file has this name.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     make_folder(Path(parent, "runs", "first"))
      ...     Path(parent, "runs", "first").is_dir()
      True
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries to disk, so that renames and new files survive a crash.

    Does nothing if the file system cannot flush folders.

    Args:
      folder: path to the folder.

    Raises:
      OSError: if flushing fails for any other reason.

    Examples:
      >>> sync_folder(Path.cwd())
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise _named(error, folder) from error


def _named(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Rewrites an OSError so that it names ``path``."""
    if error.errno is None:  # raised by a library, such as NumPy on a full disk
        return OSError(f"cannot write {path} ({error}): is the disk full?")
    return OSError(error.errno, error.strerror, os.fspath(path))


def user_cache(kind: str) -> Path:
    """Returns the folder for one kind of file in the user's cache folder; it may not exist yet."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("hashnet_jax", appauthor=False), kind)


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's content as 64 hexadecimal digits.

    Examples:
      >>> sha256(os.devnull)[:8]
      'e3b0c442'
    """
    refuse_pipe(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_pipe(path: str | os.PathLike[str]) -> None:
    """Raises an OSError if ``path`` is a named pipe, because opening it could block forever.

    Examples:
      >>> refuse_pipe(os.devnull)
    """
    if stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "a pipe, not a regular file", os.fspath(path))


@contextlib.contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[None]:
    """Holds an exclusive lock, which the operating system releases no matter how the process ends.

    Args:
      path: path to the lock file. It is not deleted afterwards.
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
