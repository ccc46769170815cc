"""`hashnet report`: writes the report of a finished run, or prints its protocol card."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "report",
        help="write the report of a finished run, or print its protocol card",
        description="Writes report.html, card.json and figures/ into the folder of a finished run.",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--card", action="store_true", help="only print the protocol card; write no files"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder to write the report to (default: RUN)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed for the gallery, t-SNE and other random draws (default: 0)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the report or prints the card; returns the exit status."""
    from hashnet_jax.cli._report import print_card, rewrite_report
    from hashnet_jax.distributed.printing import printable

    if args.card:
        print_card(args.run_dir)
    else:
        print(printable(rewrite_report(args.run_dir, seed=args.seed, output=args.output)))
    return 0
