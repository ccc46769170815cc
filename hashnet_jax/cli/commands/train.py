"""`hashnet train`: trains on a data set and reports the MAP of the codes."""

import argparse
from collections.abc import Sequence
from typing import Any

DESCRIPTION = """Trains HashNet on a data set, encodes the queries and the database, and
reports MAP. For example:

  %(prog)s
  %(prog)s --dataset folder --image-root DIR
  %(prog)s --dataset imagenet100 --image-root DIR
  %(prog)s --run-dir DIR --resume

By default, it trains on scikit-learn's digits, which need no download. Other
defaults depend on the data set; --dataset coco --help shows those for COCO."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "train",
        help="train on a data set and report the MAP of the codes",
        description=DESCRIPTION,
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the command's options; ``argv`` determines which data set's defaults `--help` shows."""
    from hashnet_jax.cli import _options

    _options.add_options(parser, argv)


def run(args: argparse.Namespace) -> int:
    """Trains or resumes a run; returns the exit status."""
    from hashnet_jax.cli._training import train_and_report

    return train_and_report(args)
