"""Arrays cached in files, each with a hash of the array's content in the file name::

    STEM-SHA256.npy

A file that is damaged or contains a different array is therefore never used. Caching is best
effort: if the folder cannot be read or written, a note is printed and the array is computed again.
"""

import contextlib
import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hashnet_jax.distributed.files import make_folder, write_whole
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.reading import DamagedFile, read_npy

_WHAT, _REMEDY = "the array that its name identifies", "it will be recomputed"
_HASH_DIGITS = 16


def cache_folder() -> Path | None:
    """Returns the user's folder for cached arrays, or None if the user has no home folder."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "hashnet_jax"
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".cache" / "hashnet_jax"
    return None


def load_array(
    folder: Path, stem: str, *, is_valid: Callable[[np.ndarray], bool]
) -> np.ndarray | None:
    """Loads an array that :func:`save_array` saved under ``stem``.

    Args:
      folder: folder that contains the file.
      stem: part of the file name that identifies the array's inputs, e.g. by a hash.
      is_valid: function that returns whether an array is usable, e.g. has the required shape.

    Returns:
      The array, memory-mapped and read-only, or None if the array is missing or damaged. Damage is
      reported on stderr.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = save_array(Path(folder), "squares", np.arange(4) ** 2)
      ...     load_array(Path(folder), "squares", is_valid=lambda array: array.ndim == 1).tolist()
      [0, 1, 4, 9]
    """
    try:
        named = re.compile(rf"{re.escape(stem)}-([0-9a-f]{{{_HASH_DIGITS}}})\.npy")
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        for match in filter(None, map(named.fullmatch, names)):
            array = _load(folder / match[0], match[1], is_valid)
            if array is not None:
                return array
    except OSError as error:
        _say_once(f"the cache {folder} cannot be read ({error.strerror or error})")
    return None


def save_array(folder: Path, stem: str, array: np.ndarray) -> Path | None:
    """Saves an array for :func:`load_array`, replacing damaged files with the same ``stem``.

    Args:
      folder: folder to save the array in; created if missing.
      stem: identifies what the array depends on; part of the file name.
      array: the array to save.

    Returns:
      Path to the file, or None if it cannot be written; the error is reported on stderr.
    """
    path = folder / f"{stem}-{_content_hash(array)}.npy"
    try:
        make_folder(folder)
        write_whole(path, lambda file: np.save(file, array, allow_pickle=False))
        for other in folder.glob(f"{stem}-{'?' * _HASH_DIGITS}.npy"):
            if other != path:
                other.unlink()
    except OSError as error:
        _say_once(f"the cache {folder} cannot be written ({error.strerror or error})")
        return None
    return path


def _load(
    path: Path, content_hash: str, is_valid: Callable[[np.ndarray], bool]
) -> np.ndarray | None:
    try:
        array = read_npy(path, _WHAT, _REMEDY, mmap=True)
        if _content_hash(array) != content_hash:
            raise DamagedFile(path, _WHAT, "its content does not match its hash", _REMEDY)
        if not is_valid(array):
            found = f"its content, {array.dtype} {list(array.shape)}, does not match the data"
            raise DamagedFile(path, _WHAT, found, _REMEDY)
    except DamagedFile as error:
        print(printable(f"note: {error}"), file=sys.stderr)
        return None
    return array


def _content_hash(array: np.ndarray) -> str:
    content = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    content.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return content.hexdigest()[:_HASH_DIGITS]


@functools.cache
def _say_once(what: str) -> None:
    print(printable(f"note: {what}; the run continues without it."), file=sys.stderr)
