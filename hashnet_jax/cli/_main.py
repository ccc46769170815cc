"""Runs the `hashnet` commands, and handles their errors, interruptions and closed pipes."""

import argparse
import os
import sys
from collections.abc import Sequence

import hashnet_jax
from hashnet_jax.cli._messages import flags_of, translate
from hashnet_jax.cli._parser import CommandParser
from hashnet_jax.cli.commands import COMMANDS

# 128 + signal number, the shell convention for processes killed by SIGINT and SIGPIPE.
INTERRUPTED, BROKEN_PIPE = 130, 141


def build_parser(started_as: str | None = None) -> argparse.ArgumentParser:
    """Builds the parser for `hashnet` and its commands; see :func:`main` for ``started_as``."""
    parser = CommandParser(
        prog="hashnet",
        description="Deep learning to hash: train a network, and search pictures by its codes.",
        epilog="hashnet COMMAND --help describes the options of a command.",
    )
    version = f"hashnet_jax {hashnet_jax.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    for name, command in COMMANDS.items():
        own = command.add_parser(commands)
        own.prog = started_as or f"hashnet {name}"
        own.set_defaults(run=command.run, parser=own)
    return parser


def main(argv: Sequence[str] | None = None, *, started_as: str | None = None) -> int:
    """Runs a command.

    Args:
      argv: the arguments, starting with the command; by default, ``sys.argv[1:]``.
      started_as: the name to show in help and messages if another program started the command,
        e.g. "python experiments/run.py".

    Returns:
      The exit status: 0, 1 after an error, or 128 + n after signal n.

    Examples:
      >>> main(["info", "no such folder"])
      1
    """
    args = build_parser(started_as).parse_args(argv)
    try:
        from hashnet_jax.data.pictures import ignore_warnings

        ignore_warnings()
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
        for line in translate(str(error), flags_of(args.parser)).splitlines():
            print(f"{args.parser.prog}: error: {line}", file=sys.stderr)
        return 1
