"""`hashnet duplicates`: finds groups of pictures with similar codes, and near copies among them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "duplicates",
        help="find pictures with similar codes, and near copies among them",
        description="Groups the pictures in a store that have similar codes, and compares the\n"
        "pixels within each group to distinguish near copies, such as one photograph\n"
        "in two sizes, from different pictures of the same subject.",
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the options of the command to ``parser``."""
    del argv
    add = parser.add_argument
    add(
        "--store",
        required=True,
        metavar="STORE",
        help="store to search: a folder or a location in object storage",
    )
    add(
        "--radius",
        type=int,
        default=2,
        metavar="R",
        help="maximum Hamming distance between two linked pictures; a group may also contain "
        "pictures that are further apart, if a chain of links connects them (default: 2)",
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--html", metavar="FILE", type=Path, help="also write an HTML page that shows the groups")


def run(args: argparse.Namespace) -> int:
    """Finds and prints groups of similar pictures; returns the exit status."""
    from hashnet_jax.cli._duplicates import print_duplicates

    print_duplicates(args.store, radius=args.radius, as_json=args.json, html=args.html)
    return 0
