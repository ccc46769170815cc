"""Builds argparse options from dataclass fields, so that each option is declared in one place.

The metadata of a field describes its option:

- ``help``: the `--help` text, which may mention other parameters in backticks. A field without a
  ``help`` entry has no option.
- ``flag``: the option's name. By default, ``batch_size`` becomes `--batch-size`.
- ``metavar``: the placeholder for the value. Defaults to the choices or words.
- ``choices``: a zero-argument function that returns the allowed names, e.g. the keys of a registry.
  The function is called when the option is declared.
- ``words``: maps words to values, e.g. ``{"all": None}``. Any other text must be a number.
- ``none``: describes the meaning of None, and is shown as the default in `--help`.
- ``group``: the option's group in `--help`.
- ``location``: whether the field is a path to the data, which may move before a run is resumed.

The type is taken from the field's annotation: int, float, str, Path or bool (a switch), optionally
combined with None.
"""

import argparse
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hashnet_jax.cli._messages import Flag, translate, word_for

_EXPECTED: dict[Callable[[str], Any], str] = {
    int: "an integer",
    float: "a number",
    Path: "a path",
    str: "text",
}


def option_fields(part: Any) -> Iterator[dataclasses.Field[Any]]:
    """Yields the fields that have a command-line option, including fields of nested dataclasses.

    Examples:
      >>> from hashnet_jax.configs import Config
      >>> [field.name for field in option_fields(Config)][:3]
      ['dataset', 'backbone', 'bits']
    """
    for field in dataclasses.fields(part):
        if dataclasses.is_dataclass(field.type):
            yield from option_fields(field.type)
        elif "help" in field.metadata:
            yield field


def values_of(part: Any) -> dict[str, Any]:
    """Returns the field values of a dataclass and its nested dataclasses, keyed by field name.

    Examples:
      >>> from hashnet_jax.configs import CONFIGS
      >>> values_of(CONFIGS["digits"])["total_steps"]
      1800
    """
    values = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        values |= values_of(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return values


def flag_of(field: dataclasses.Field[Any]) -> Flag:
    """Returns the flag that sets a field."""
    name = field.metadata.get("flag", f"--{field.name.replace('_', '-')}")
    if _is_switch(field):
        return Flag(name, f"--no-{name.removeprefix('--')}", is_switch=True)
    return Flag(name, words=field.metadata.get("words", {}))


def words_of(field: dataclasses.Field[Any], value: Any) -> list[str]:
    """Returns the command-line arguments that set a field to a value.

    Examples:
      >>> from hashnet_jax.data import Options
      >>> fields = {field.name: field for field in option_fields(Options)}
      >>> words_of(fields["train_in_database"], False), words_of(fields["allow_overlap"], True)
      (['--database', 'rest-without-train'], ['--allow-overlap'])
    """
    flag = flag_of(field)
    if flag.is_switch:
        return [flag.name if value else flag.negative]
    return [flag.name, word_for(value, flag.words)]


def add_option(
    group: Any, field: dataclasses.Field[Any], default: Any, flags: Mapping[str, Flag]
) -> None:
    """Adds an option for a field.

    If the option is not given on the command line, the parsed namespace has no attribute for it.

    Args:
      group: parser or argument group to add the option to.
      field: dataclass field with the metadata described in the module docstring.
      default: default value to show in the help text.
      flags: flags of the fields that the help text may mention, keyed by field name.
    """
    add = functools.partial(
        group.add_argument, flag_of(field).name, dest=field.name, default=argparse.SUPPRESS
    )
    if _is_switch(field):
        add(action=argparse.BooleanOptionalAction, help=_help(field, default, flags))
        return
    choices = _choices(field)
    add(
        type=Value(field),
        choices=choices or None,
        metavar=field.metadata.get("metavar") or "|".join(choices or field.metadata["words"]),
        help=_help(field, default, flags),
    )


class Value:
    """Converts the text given for an option to a value of the corresponding dataclass field.

    Attributes:
      words: maps special words to the values that they stand for, e.g. ``{"all": None}``.
    """

    def __init__(self, field: dataclasses.Field[Any]) -> None:
        self.words: Mapping[str, Any] = field.metadata.get("words", {})
        # If there are words, any other text must be a number.
        kinds: list[Callable[[str], Any]] = [int, float] if self.words else [int, float, Path, str]
        self._kinds = [kind for kind in kinds if kind in _types(field)]

    def __call__(self, text: str) -> Any:
        if text in self.words:
            return self.words[text]
        for kind in self._kinds:
            try:
                return kind(text)
            except ValueError:
                pass
        expected = [*(_EXPECTED[kind] for kind in self._kinds), *self.words]
        raise argparse.ArgumentTypeError(f"must be {' or '.join(expected)}, got {text!r}")


def _types(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    is_union = isinstance(field.type, types.UnionType)
    return typing.get_args(field.type) if is_union else (field.type,)


def _is_switch(field: dataclasses.Field[Any]) -> bool:
    return bool in _types(field) and "words" not in field.metadata


def _choices(field: dataclasses.Field[Any]) -> list[str]:
    return list(field.metadata["choices"]()) if "choices" in field.metadata else []


def _help(field: dataclasses.Field[Any], default: Any, flags: Mapping[str, Flag]) -> str:
    text = field.metadata["help"]
    if "metavar" in field.metadata and (choices := _choices(field)):
        text += f": {', '.join(choices)}"
    words = field.metadata.get("words", {})
    shown = field.metadata.get("none", "none") if default is None else ""
    if not shown or None in words.values():
        shown = word_for(default, words)
    return translate(f"{text} (default: {shown})", flags).replace("%", "%%")
