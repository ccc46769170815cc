"""`hashnet info`: describes a run folder or a codes folder."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "info",
        help="describe a run folder or a codes folder",
        description="Describes the network of a finished run or the contents of a codes folder.",
    )
    parser.add_argument(
        "folder", metavar="RUN|CODES", type=Path, help="folder of a finished run, or codes folder"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints a description of the folder; returns the exit status."""
    from hashnet_jax.cli._info import describe_folder
    from hashnet_jax.distributed.printing import printable

    for name, content in describe_folder(args.folder).items():
        print(f"{name + ':':<15} {printable(str(content))}")
    return 0
