"""Checks that a JSON object has the field names and types of a dataclass."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    types.NoneType: "null",
}


def wrong_fields(part: Any, content: Any, place: str = "") -> Iterator[str]:
    """Yields a message for each field that is unknown, missing or of the wrong type.

    Fields with a default are optional.

    Args:
      part: a dataclass whose fields are numbers, strings, booleans, tuples of numbers or
        dataclasses.
      content: the parsed JSON to check.
      place: prefix for the field names in the messages, e.g. ``"train."``.

    Examples:
      >>> from hashnet_jax.configs import CONFIGS, Config
      >>> content = CONFIGS["digits"].to_json()
      >>> content["train"]["decays"] = "five"
      >>> list(wrong_fields(Config, content))
      ["train.decays must be an integer, but is 'five'"]
    """
    if not isinstance(content, Mapping):
        yield f"{place.rstrip('.') or 'it'} must be an object, but is {_shown(content)}"
        return
    fields = {field.name: field for field in dataclasses.fields(part)}
    yield from (f"unknown field {place}{name}" for name in content if name not in fields)
    for name, field in fields.items():
        if name not in content:
            if field.default is dataclasses.MISSING:
                yield f"missing field {place}{name}"
        elif dataclasses.is_dataclass(field.type):
            yield from wrong_fields(field.type, content[name], f"{place}{name}.")
        elif not _fits(content[name], field.type):
            yield f"{place}{name} must be {_described(field.type)}, but is {_shown(content[name])}"


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        return (
            isinstance(value, list | tuple)
            and len(value) == len(kinds)
            and all(map(_fits, value, kinds))
        )
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _described(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_described(one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"a list of {len(typing.get_args(kind))} numbers"
    return _NAMES[kind]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
