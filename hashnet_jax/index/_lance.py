"""Opens LanceDB databases, and converts LanceDB's errors."""

import contextlib
import os
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from hashnet_jax.distributed.reading import DamagedFile

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_CONFLICT = re.compile(r"commit conflict|concurrent writers", re.IGNORECASE)
# Raised by LanceDB if its Rust code panics; not a subclass of Exception.
_PANIC = "PanicException"
_WHAT, _REMEDY = "a store", "restore it from a copy, or index the pictures into a new store"


def import_lancedb() -> ModuleType:
    """Imports lancedb, or raises an error that explains how to install it.

    Raises:
      ModuleNotFoundError: if lancedb is missing.
    """
    try:
        import lancedb
    except ModuleNotFoundError as error:
        if error.name != "lancedb":
            raise
        raise ModuleNotFoundError(
            "lancedb is needed to read and write a store. Install it with "
            "pip install 'hashnet_jax[search]'."
        ) from error
    return lancedb


@contextlib.contextmanager
def faults_named(uri: str) -> Iterator[None]:
    """Converts LanceDB's errors to exceptions that name the store.

    Args:
      uri: location of the store, a folder or an address in object storage.

    Raises:
      BlockingIOError: if other processes kept changing the store at the same time.
      OSError: if the operating system reported an error, e.g. a full disk.
      DamagedFile: a ValueError, in all other cases.
    """
    try:
        yield
    except (DamagedFile, ImportError):
        raise
    except BaseException as error:  # see damage_named
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        text = " ".join(str(error).split())
        if _CONFLICT.search(text):
            raise BlockingIOError(
                f"other processes keep changing {uri}. Try again when they have finished."
            ) from error
        found = _OS_ERROR.search(text)
        if found is not None and int(found[1]) != 2:  # a missing file is damage
            raise OSError(int(found[1]), os.strerror(int(found[1])), uri) from error
        raise DamagedFile(uri, _WHAT, text[:200].rstrip("."), _REMEDY) from error


def damaged(uri: str, reason: str) -> DamagedFile:
    """Returns the error for a store that is damaged or was created by other software."""
    return DamagedFile(uri, _WHAT, reason, _REMEDY)


def is_local(uri: str) -> bool:
    """Returns whether a store is in a folder, rather than in object storage.

    Args:
      uri: store folder or location in object storage.

    Returns:
      True for a folder, whether or not it exists.

    Examples:
      >>> is_local("runs/store"), is_local("s3://bucket/store")
      (True, False)
    """
    return "://" not in uri


def literal(text: str) -> str:
    """Quotes a string for use in a SQL filter.

    Examples:
      >>> print(literal("it's"))
      'it''s'
    """
    return "'" + text.replace("'", "''") + "'"


def connect(uri: str) -> Any:
    """Connects to the database at ``uri``."""
    return import_lancedb().connect(uri)
