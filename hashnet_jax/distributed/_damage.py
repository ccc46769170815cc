"""The error that is raised for damaged files."""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

StrPath = str | os.PathLike[str]


class DamagedFile(ValueError):
    """Raised if a file's content is not what it should be.

    Args:
      path: path to the file.
      what: what the file should be, with an article, e.g. "a codes manifest".
      reason: what is wrong with the file's contents.
      remedy: what the user can do about it, without a full stop.

    Attributes:
      reason: what is wrong with the file's contents.

    Examples:
      >>> print(DamagedFile("run/split.npz", "a split", "it is empty", "restore it"))
      run/split.npz is damaged or not a split (it is empty). Restore it.
    """

    def __init__(self, path: StrPath, what: str, reason: str, remedy: str) -> None:
        sentence = remedy[0].upper() + remedy[1:]
        super().__init__(f"{os.fspath(path)} is damaged or not {what} ({reason}). {sentence}.")
        self.reason = reason


@contextlib.contextmanager
def damage_named(path: StrPath, what: str, remedy: str) -> Iterator[None]:
    """Raises a :class:`DamagedFile` in place of any exception that occurs while a file is parsed.

    Errors from the operating system, such as a missing permission, are not replaced. Parsers raise
    exceptions of almost any type on damaged input (``struct.error``, ``zlib.error``,
    ``MemoryError``, ``RecursionError``, ...), so a list of exception types would never be complete.

    Args:
      path: path to the file that is parsed within the block.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.

    Examples:
      >>> with damage_named("run/config.json", "the config of a run", "restore it"):
      ...     int("x")
      Traceback (most recent call last):
      ...
      hashnet_jax.distributed._damage.DamagedFile: run/config.json is damaged or not the config ...
    """
    try:
        yield
    except DamagedFile:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedFile(path, what, _reason(error), remedy) from error


def _reason(error: Exception) -> str:
    """Describes an error in one line."""
    if isinstance(error, MemoryError):
        return "it needs more memory than this machine has"
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is missing"
    if isinstance(error, (ValueError, EOFError, OSError, zipfile.BadZipFile)):
        return text[:200].rstrip(".") or type(error).__name__
    if isinstance(error, (zlib.error, struct.error)):
        return f"its content cannot be unpacked: {text[:200]}"
    return f"{type(error).__name__}: {text[:200]}"
