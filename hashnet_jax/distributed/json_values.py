"""Checks that values read from JSON have the expected types.

A check takes a value and its location in the file, and raises a ValueError that names the location
if the value is wrong. Checks can be combined to check a whole file:

    check_run = record({"step": count, "map": record({"expected": number}), "notes": each(text)})
    check_run(content)
"""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[..., None]


def number(value: Any, place: str = "it") -> None:
    """Raises a ValueError unless a value is an int or a float.

    Examples:
      >>> number("0.5", "'map'")
      Traceback (most recent call last):
      ...
      ValueError: 'map' must be a number, but is '0.5'
    """
    _require(type(value) in (int, float), value, place, "a number")


def count(value: Any, place: str = "it") -> None:
    """Raises a ValueError unless a value is an int >= 0."""
    _require(type(value) is int and value >= 0, value, place, "an integer >= 0")


def text(value: Any, place: str = "it") -> None:
    """Raises a ValueError unless a value is a string."""
    _require(isinstance(value, str), value, place, "a string")


def one_of(*allowed: Any) -> Check:
    """Returns a check that a value is one of ``allowed``."""

    def check(value: Any, place: str = "it") -> None:
        is_allowed = any(type(value) is type(each) and value == each for each in allowed)
        _require(is_allowed, value, place, f"one of {', '.join(map(repr, allowed))}")

    return check


def optional(inner: Check) -> Check:
    """Returns a check that a value is null or passes ``inner``."""

    def check(value: Any, place: str = "it") -> None:
        if value is not None:
            inner(value, place)

    return check


def each(inner: Check) -> Check:
    """Returns a check that a value is a list whose entries pass ``inner``."""

    def check(value: Any, place: str = "it") -> None:
        _require(isinstance(value, list), value, place, "a list")
        for i, entry in enumerate(value):
            inner(entry, f"entry {i} of {place}")

    return check


def table(inner: Check) -> Check:
    """Returns a check that a value is a JSON object whose values all pass the check ``inner``."""

    def check(value: Any, place: str = "it") -> None:
        _require(isinstance(value, dict), value, place, "an object")
        for name, entry in value.items():
            inner(entry, repr(name))

    return check


def record(required: Mapping[str, Check], **optionally: Check) -> Check:
    """Returns a check that a value is a JSON object with the required keys; other keys are allowed.

    Args:
      required: a check for each key that must exist.
      optionally: a check for each key that may exist.

    Examples:
      >>> check = record({"step": count}, seconds=number)
      >>> check({"step": 3, "note": "any other key"})
      >>> check({"seconds": 1.5})
      Traceback (most recent call last):
      ...
      ValueError: 'step' is missing
      >>> check({"step": -1})
      Traceback (most recent call last):
      ...
      ValueError: 'step' must be an integer >= 0, but is -1
    """

    def check(value: Any, place: str = "it") -> None:
        _require(isinstance(value, dict), value, place, "an object")
        for name, inner in {**required, **optionally}.items():
            if name in value:
                inner(value[name], repr(name))
            elif name in required:
                raise ValueError(f"{name!r} is missing")

    return check


def _require(holds: bool, value: Any, place: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{place} must be {expected}, but is {repr(value)[:60]}")
