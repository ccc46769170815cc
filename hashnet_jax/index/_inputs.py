"""Expands requested files, folders and globs into a stream of pictures."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hashnet_jax.data.pictures import find_pictures


def expand(arguments: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Resolves paths and globs to the files and folders they name.

    A path inside a requested folder is left out, since the folder includes it.

    Args:
      arguments: files, folders, or globs (``**`` for any depth). An existing file is taken
        literally, even with ``*`` in its name.

    Returns:
      Absolute paths without duplicates, in the order of the arguments.

    Raises:
      FileNotFoundError: if an argument matches nothing.

    Examples:
      >>> expand(["no such folder"])
      Traceback (most recent call last):
      ...
      FileNotFoundError: no picture or folder at 'no such folder': name files, folders or globs.
    """
    named: dict[str, None] = {}
    for argument in arguments:
        pattern = os.path.expanduser(argument)
        exists = os.path.lexists(pattern)
        found = [pattern] if exists else sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise FileNotFoundError(
                f"no picture or folder at {pattern!r}: name files, folders or globs."
            )
        named |= dict.fromkeys(os.path.abspath(path) for path in found)
    folders = {path for path in named if os.path.isdir(path)}
    return [path for path in named if folders.isdisjoint(_parents(path))]


def list_pictures(paths: Iterable[str], on_skip: Callable[[str, str], Any]) -> Iterator[str]:
    """Lists picture files, including those in folders, one at a time.

    Args:
      paths: from :func:`expand`.
      on_skip: called with ``(path, reason)`` for each path that cannot be listed.

    Yields:
      Absolute paths. A file requested explicitly counts as a picture whatever its suffix.
    """
    for path in paths:
        for found in find_pictures(path, on_skip) if os.path.isdir(path) else (path,):
            if "\n" in found:  # path files have one path per line
                on_skip(found, "its path contains a line break: rename it")
            else:
                yield found


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent
