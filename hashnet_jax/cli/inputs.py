"""What a user names on the command line, files, folders and globs, as a stream of paths."""

import glob
import os

from hashnet_jax.data.pictures import find_pictures


def expand(arguments):
    """The files and folders that the arguments name, absolute, each once.

    What lies in a folder that is also named is left out, since it comes with the folder.

    Args:
      arguments: paths of files and folders, or globs where no such file is (``**`` for any depth).

    Returns:
      List of absolute paths, in the order of the arguments.

    Raises:
      FileNotFoundError: if an argument names nothing.

    Examples:
      >>> expand(["no such folder"])
      Traceback (most recent call last):
      ...
      FileNotFoundError: no picture or folder at 'no such folder': name files, folders or globs.
    """
    named = {}
    for argument in arguments:
        argument = os.path.expanduser(argument)
        exists = os.path.lexists(argument)
        found = [argument] if exists else sorted(glob.glob(argument, recursive=True))
        if not found:
            raise FileNotFoundError(
                f"no picture or folder at {argument!r}: name files, folders or globs."
            )
        named |= dict.fromkeys(os.path.abspath(path) for path in found)
    folders = {path for path in named if os.path.isdir(path)}
    return [path for path in named if not folders & set(_parents(path))]


def list_pictures(paths, on_skip):
    """The pictures that files and folders stand for, in a stream.

    Args:
      paths: from :func:`expand`.
      on_skip: called with ``(path, reason)`` for what cannot be listed.

    Yields:
      Absolute paths, str. A file that is named itself is one whatever its suffix.
    """
    for path in paths:
        for found in find_pictures(path, on_skip) if os.path.isdir(path) else (path,):
            if "\n" in found:  # lists of paths have one a line
                on_skip(found, "its path holds a line break: rename it")
            else:
                yield found


def _parents(path):
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent
