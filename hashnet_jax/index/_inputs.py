"""Expands requested files, folders and globs into a stream of pictures."""

import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from hashnet_jax.data.pictures import find_pictures


def expand(arguments: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Expands paths and globs to the files and folders they match.

    A folder inside another requested folder is omitted, because folders are searched recursively.
    Files and hidden folders are kept, because a recursive search skips hidden folders and files
    without a picture suffix.

    Args:
      arguments: files, folders, or globs (``**`` for any depth). The path to an existing file is
        not treated as a glob, even if it contains ``*``.

    Returns:
      Absolute paths without duplicates, in the order of the arguments.

    Raises:
      FileNotFoundError: if an argument matches nothing.

    Examples:
      >>> expand(["no such folder"])
      Traceback (most recent call last):
      ...
      FileNotFoundError: no file or folder matches 'no such folder'. Check the path or glob.
    """
    named: dict[str, None] = {}
    for argument in arguments:
        pattern = os.path.expanduser(argument)
        exists = os.path.lexists(pattern)
        found = [pattern] if exists else sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise FileNotFoundError(
                f"no file or folder matches {pattern!r}. Check the path or glob."
            )
        named |= dict.fromkeys(os.path.abspath(path) for path in found)
    folders = {path for path in named if os.path.isdir(path)}
    return [path for path in named if path not in folders or not _is_inside(path, folders)]


def list_pictures(paths: Iterable[str], on_skip: Callable[[str, str], Any]) -> Iterator[str]:
    """Yields the paths to picture files, including files in folders.

    Args:
      paths: files and folders, from :func:`expand`.
      on_skip: called with ``(path, reason)`` for each path that is not listed.

    Yields:
      Absolute paths without duplicates. An explicitly requested file counts as a picture
      regardless of its name.
    """
    paths = list(paths)
    files = {path for path in paths if not os.path.isdir(path)}
    listed: set[str] = set()  # explicitly requested files, which may also be in a requested folder

    def pass_over(path: str, reason: str) -> None:
        if path not in files:
            on_skip(path, reason)

    for path in paths:
        for found in (path,) if path in files else find_pictures(path, pass_over):
            if found in listed:
                continue
            if found in files:
                listed.add(found)
            if "\n" in found:  # Exported lists of paths, such as `ids.txt`, have one per line.
                on_skip(found, "the path contains a line break; rename the file or folder")
            else:
                yield found


def _is_inside(path: str, folders: Collection[str]) -> bool:
    """Returns whether searching ``folders`` would find ``path``."""
    while not os.path.basename(path).startswith(".") and (parent := os.path.dirname(path)) != path:
        if parent in folders:
            return True
        path = parent
    return False
