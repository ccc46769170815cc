"""Translates the package's messages for command-line users.

In these messages, parameters are in backticks. Each parameter is replaced with the option or
argument that sets it: `batch_size` becomes --batch-size, `resume=True` becomes --resume. Anything
else in backticks, such as a command, is left unchanged.
"""

import argparse
import ast
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

# Parameters that have a different name on the command line.
ALIASES = {
    "n_devices": "devices",
    "n_processes": "processes",
    "folder": "run_dir",
    "run": "run_dir",
    "store": "folder",
}

_PARAMETER = re.compile(r"`([A-Za-z_]\w*)(?:=([^`]*))?`")


class Flag(NamedTuple):
    """The command-line option or argument that sets a parameter.

    Attributes:
      name: the option, e.g. "--steps", or the name of a positional argument, e.g. "RUN".
      negative: the option that turns the parameter off, e.g. "--no-freeze-backbone", or "".
      is_switch: whether the option takes no value.
      words: maps words on the command line to values of the parameter, e.g.
        ``{"rest": True, "rest-without-train": False}``.
    """

    name: str
    negative: str = ""
    is_switch: bool = False
    words: Mapping[str, Any] = {}


def flags_of(parser: argparse.ArgumentParser) -> dict[str, Flag]:
    """Returns the flags of a command, keyed by the parameters that they set.

    Examples:
      >>> parser = argparse.ArgumentParser()
      >>> _ = parser.add_argument("--steps", dest="total_steps", type=int)
      >>> flags_of(parser)["total_steps"].name
      '--steps'
    """
    # argparse has no public API for listing the declared options.
    return {action.dest: _flag(action) for action in parser._actions}


def _flag(action: argparse.Action) -> Flag:
    options = action.option_strings
    if not options:
        return Flag(str(action.metavar or action.dest))
    long = [option for option in options if option.startswith("--")] or options
    negative = next((option for option in long if option.startswith("--no-")), "")
    return Flag(long[0], negative, action.nargs == 0, getattr(action.type, "words", {}))


def translate(message: str, flags: Mapping[str, Flag]) -> str:
    """Replaces parameters in backticks with a command's flags.

    Args:
      message: message from the package.
      flags: the command's flags, from :func:`flags_of`.

    Returns:
      The translated message; anything else in backticks is unchanged.

    Examples:
      >>> flags = {"total_steps": Flag("--steps"), "resume": Flag("--resume", is_switch=True)}
      >>> translate("`total_steps` must be an integer >= 1, got 0.", flags)
      '--steps must be an integer >= 1, got 0.'
      >>> translate("pass `resume=True` or `total_steps=9`; see `hashnet info`.", flags)
      'pass --resume or --steps 9; see `hashnet info`.'
    """

    def replace(match: re.Match[str]) -> str:
        name, value = match.groups()
        flag = flags.get(name) or flags.get(ALIASES.get(name, ""))
        if flag is None:
            return match[0]
        return flag.name if value is None else _assignment(flag, value)

    return _PARAMETER.sub(replace, message)


def _assignment(flag: Flag, text: str) -> str:
    """Formats a flag and its value, where ``text`` is the value as a Python literal."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return f"{flag.name} {text}"  # a placeholder such as HOST:PORT
    if flag.is_switch and isinstance(value, bool):
        return flag.name if value else flag.negative or f"no {flag.name}"
    return f"{flag.name} {shlex.quote(word_for(value, flag.words))}"


def word_for(value: Any, words: Mapping[str, Any]) -> str:
    """Returns the command-line text for a value.

    Examples:
      >>> word_for(None, {"all": None}), word_for(0.0003, {}), word_for(False, {})
      ('all', '0.0003', 'off')
    """
    for word, meaning in words.items():
        if meaning is value or (meaning == value and type(meaning) is type(value)):
            return word
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
