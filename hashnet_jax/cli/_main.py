"""Runs the `hashnet` commands, and handles errors, interruptions and closed pipes."""

import argparse
import os
import sys
from collections.abc import Sequence

import hashnet_jax
from hashnet_jax.cli import _compilation_cache
from hashnet_jax.cli._background_errors import hold_back
from hashnet_jax.cli._messages import flags_of, translate
from hashnet_jax.cli._parser import CommandParser
from hashnet_jax.cli.commands import COMMANDS
from hashnet_jax.distributed.printing import printable

# The shell convention for processes killed by SIGINT and SIGPIPE: 128 + signal number.
INTERRUPTED, BROKEN_PIPE = 130, 141

_ENCODE_IS_GONE = (
    "`hashnet encode` was replaced by `hashnet index update` and `hashnet export`. To import a "
    "folder that it wrote, run `hashnet index import`."
)


def build_parser(started_as: str | None = None) -> argparse.ArgumentParser:
    """Builds the parser for `hashnet` and its commands; see :func:`main` for ``started_as``."""
    parser = CommandParser(
        prog="hashnet",
        description="Deep hashing: train a network, and use its codes to search for pictures.",
        epilog="Run hashnet COMMAND --help to see the options of a command.",
    )
    version = f"hashnet_jax {hashnet_jax.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    for name, command in COMMANDS.items():
        own = command.add_parser(commands)
        own.prog = started_as or f"hashnet {name}"
        # A command may set `before_jax` to a function that is called before the slow imports.
        own.set_defaults(run=command.run, parser=own)
    return parser


def _prepare() -> None:
    import jax  # noqa: F401  # see hashnet_jax.__getattr__

    from hashnet_jax.data.pictures import ignore_warnings

    ignore_warnings()
    hold_back()
    _compilation_cache.enable()


def main(argv: Sequence[str] | None = None, *, started_as: str | None = None) -> int:
    """Runs a command.

    Args:
      argv: the arguments, starting with the command. Defaults to ``sys.argv[1:]``.
      started_as: program name to show in help and error messages, e.g.
        "python experiments/run.py"; None for the name of the command.

    Returns:
      The exit status: 0 on success, 1 on error, or 128 + n if signal n stopped the command.

    Examples:
      >>> main(["info", "no such folder"])
      1
    """
    parser = build_parser(started_as)
    words = sys.argv[1:] if argv is None else argv
    if [*words[:1]] == ["encode"]:
        parser.error(_ENCODE_IS_GONE)
    args = parser.parse_args(words)
    try:
        if "before_jax" in args:
            args.before_jax(args)
        _prepare()
        status = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        after = getattr(args, "after_interrupt", "")
        print(f"{args.parser.prog}: interrupted{after}.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ValueError, FloatingPointError, OSError, ModuleNotFoundError) as error:
        for line in translate(str(error), flags_of(args.parser)).rstrip("\n").split("\n"):
            print(f"{args.parser.prog}: error: {printable(line)}", file=sys.stderr)
        return 1
