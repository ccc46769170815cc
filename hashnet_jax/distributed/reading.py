"""Reads JSON, text and NumPy files that may be damaged.

Every file that the package reads goes through these functions. They convert any exception from the
parser to :class:`DamagedFile`. Before allocating memory, they compare the sizes declared in a file
with the actual sizes.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hashnet_jax.distributed._array_files import (
    ArrayHeader,
    array_names,
    read_npy,
    read_npz,
)
from hashnet_jax.distributed._damage import DamagedFile, StrPath, damage_named
from hashnet_jax.distributed._hashed_arrays import read_hashed_npz
from hashnet_jax.distributed.files import refuse_pipe, sha256

__all__ = [
    "ArrayHeader",
    "DamagedFile",
    "StrPath",
    "array_names",
    "check_sha256",
    "damage_named",
    "file_exists",
    "parse_json",
    "read_hashed_npz",
    "read_json",
    "read_npy",
    "read_npz",
    "read_text",
]

MAX_JSON_BYTES = 2**30


def read_json(
    path: StrPath,
    what: str,
    remedy: str,
    *,
    kind: type | tuple[type, ...] = dict,
    keys: Collection[str] | None = None,
) -> Any:
    """Reads a JSON file.

    Args:
      path: path to the file.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.
      kind: the allowed type or types of the top-level value.
      keys: the keys to keep in all objects, which saves memory if a large file has many others;
        None for all keys.

    Returns:
      The value.

    Raises:
      DamagedFile: if the file is not JSON, or its top-level value has a type that is not allowed.
      OSError: if the file cannot be read.

    Examples:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile("w") as file:
      ...     _ = file.write('{"seed": 0}')
      ...     file.flush()
      ...     read_json(file.name, "a config", "restore it")
      {'seed': 0}
    """
    refuse_pipe(path)
    with damage_named(path, what, remedy), open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_JSON_BYTES:
            raise ValueError(f"it has more than {MAX_JSON_BYTES:,} bytes")
        value = parse_json(file.read(), keys)
        if not isinstance(value, kind):
            raise ValueError(f"its top-level value is of type {type(value).__name__}")
        return value


def file_exists(path: StrPath, what: str, remedy: str) -> bool:
    """Returns whether a file exists.

    Args:
      path: path to the file.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.

    Raises:
      DamagedFile: if ``path`` is something else, such as a folder, a pipe or a broken link, which
        would otherwise be mistaken for a missing file and overwritten.

    Examples:
      >>> file_exists("/nowhere/result.json", "the result of a run", "restore it")
      False
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        raise DamagedFile(path, what, "it is not a regular file", remedy)
    return os.path.lexists(path)


def parse_json(text: bytes | str, keys: Collection[str] | None = None) -> Any:
    """Parses JSON strictly: a key may not appear twice in an object.

    Args:
      text: the JSON text.
      keys: the keys to keep in all objects; None for all keys.

    Raises:
      ValueError: if the text is not valid JSON, is nested too deeply, or repeats a key.

    Examples:
      >>> parse_json('{"a": 1, "a": 2}')
      Traceback (most recent call last):
      ...
      ValueError: the key 'a' appears twice
      >>> parse_json('{"a": [{"b": 1, "c": 2}], "d": 3}', keys={"a", "b"})
      {'a': [{'b': 1}]}
    """

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = _unique(pairs)
        return value if keys is None else {key: value[key] for key in value if key in keys}

    try:
        return json.loads(text, object_pairs_hook=kept)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_text(path: StrPath, what: str, remedy: str) -> str:
    """Reads a UTF-8 text file; raises :class:`DamagedFile` if it is not UTF-8."""
    refuse_pipe(path)
    with damage_named(path, what, remedy):
        return Path(path).read_bytes().decode()


def check_sha256(path: StrPath, expected: str, what: str, remedy: str) -> None:
    """Checks that a file matches its recorded hash.

    Args:
      path: path to the file.
      expected: the SHA-256 recorded for the file, 64 hexadecimal digits.
      what: see :class:`DamagedFile`.
      remedy: see :class:`DamagedFile`.

    Raises:
      DamagedFile: if the file has a different hash.

    Examples:
      >>> check_sha256(os.devnull, "0" * 64, "the codes described by manifest.json", "restore it")
      Traceback (most recent call last):
      ...
      hashnet_jax.distributed._damage.DamagedFile: /dev/null is damaged or not the codes ...
    """
    found = sha256(path)
    if found != expected:
        reason = f"its SHA-256 is {found[:12]}..., but {str(expected)[:12]}... was recorded"
        raise DamagedFile(path, what, reason, remedy)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key {key!r} appears twice")
        value[key] = item
    return value
