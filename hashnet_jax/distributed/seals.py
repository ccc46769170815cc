"""Seals JSON objects with a hash of their own content, so that changes are detected."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the SHA-256 of a JSON object's content to the object, under the key ``"sha256"``.

    The hash does not depend on white space or on the order of the keys.

    Args:
      content: a JSON object; an existing hash is replaced.

    Returns:
      A copy with the hash as its last entry.

    Examples:
      >>> sealed({"bits": 48})
      {'bits': 48, 'sha256': '...'}
    """
    inner = _without_seal(content)
    return {**inner, SEAL: content_sha256(inner)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Checks the seal of a JSON object, and returns the content without the seal.

    Objects written by version 0.1 have no seal, and are returned unchanged; see :func:`is_sealed`.

    Raises:
      ValueError: if the content does not match its hash.

    Examples:
      >>> unsealed(sealed({"bits": 48}))
      {'bits': 48}
      >>> unsealed(sealed({"bits": 48}) | {"bits": 16})
      Traceback (most recent call last):
      ...
      ValueError: its content does not match its SHA-256
    """
    inner = _without_seal(content)
    if is_sealed(content) and content[SEAL] != content_sha256(inner):
        raise ValueError("its content does not match its SHA-256")
    return inner


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Returns whether a JSON object contains a hash of its content; does not verify the hash."""
    return SEAL in content


def content_sha256(content: Any) -> str:
    """Returns the SHA-256 of a JSON value, as 64 hexadecimal digits.

    Examples:
      >>> content_sha256({"a": 1, "b": (2,)}) == content_sha256({"b": [2], "a": 1})
      True
    """
    # Parse the JSON, so that values that JSON does not distinguish (tuples, lists) hash equally.
    parsed = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(parsed, sort_keys=True).encode()).hexdigest()


def _without_seal(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != SEAL}
