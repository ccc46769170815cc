"""Checks a store folder for damage that LanceDB does not notice."""

import contextlib
import os
from pathlib import Path

from hashnet_jax.distributed.reading import parse_json
from hashnet_jax.index._lance import damaged, is_local

# The name of the table in the database; the folder of a store contains `pictures.lance`.
TABLE = "pictures"

# LanceDB writes the number of the newest version here, but only as a hint.
HINT = "_versions/latest_version_hint.json"


def check_regular_files(uri: str) -> None:
    """Checks that a store in a folder contains only files and folders.

    LanceDB would wait forever for data from a pipe.

    Raises:
      DamagedFile: a ValueError, if the store contains anything else, e.g. a pipe or a broken link.
    """
    folders = [uri] if is_local(uri) else []
    while folders:
        # Another process may delete the files of old versions at the same time.
        with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file() and not entry.is_dir() and os.path.lexists(entry.path):
                    raise damaged(uri, f"{entry.path} is not a regular file")


def creation_was_interrupted(uri: str, table: str) -> bool:
    """Returns whether a folder contains nothing but the beginnings of a table, without a version.

    Args:
      uri: store folder.
      table: name of the store's table.
    """
    name = f"{table}.lance"
    if os.listdir(uri) != [name]:
        return False
    parts = ("_versions/*.manifest", HINT, "data/*")
    return not any(any(Path(uri, name).glob(part)) for part in parts)


def least_version(uri: str, table: str) -> int:
    """Returns a lower bound on the newest version number of a store, or 0 if none is known.

    If the version of the table is below this bound, the file of the newest version has been lost.
    LanceDB does not notice such a loss, and silently reads the previous version.

    Args:
      uri: store folder or location in object storage.
      table: name of the store's table.
    """
    hint = Path(uri, f"{table}.lance", HINT)
    if not is_local(uri) or not hint.is_file():
        return 0
    try:
        version = parse_json(hint.read_bytes())["version"]
    except (ValueError, TypeError, KeyError, OSError):
        return 0  # LanceDB does not need the hint either
    return version if isinstance(version, int) else 0
