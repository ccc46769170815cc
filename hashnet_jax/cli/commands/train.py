"""`hashnet train`: trains on a data set, encodes the queries and the database, and reports MAP."""

import argparse
from collections.abc import Sequence
from typing import Any

DESCRIPTION = """Trains HashNet on a data set, encodes the queries and the database, and
reports MAP. For example:

  %(prog)s
  %(prog)s --dataset folder --image-root DIR
  %(prog)s --dataset imagenet100 --data-dir DIR
  %(prog)s --run-dir DIR --resume

Without options it trains on scikit-learn's digits, which needs no download.
Defaults depend on the data set: --dataset coco --help shows COCO's defaults."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "train",
        help="train on a data set, and report the MAP of the codes",
        description=DESCRIPTION,
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Declares the options; ``argv`` selects the data set whose defaults `--help` shows."""
    from hashnet_jax.cli import _options

    _options.add_options(parser, argv)


def run(args: argparse.Namespace) -> int:
    """Trains or resumes a run; returns the exit status."""
    from hashnet_jax.cli._training import train_and_report

    return train_and_report(args)
