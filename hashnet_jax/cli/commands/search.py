"""`hashnet search`: finds the encoded pictures nearest to each query."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "search",
        help="find the encoded pictures nearest to each query",
        description="Prints the pictures in CODES that are nearest to each query by Hamming\n"
        "distance. The index is built on first use and stored in CODES in faiss's format.",
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Declares the options."""
    from hashnet_jax.index import KINDS

    del argv
    parser.add_argument(
        "run_dir", metavar="RUN", type=Path, help="folder of a finished run (contains model.npz)"
    )
    parser.add_argument(
        "codes", metavar="CODES", type=Path, help="folder of codes written by `hashnet encode`"
    )
    parser.add_argument(
        "queries", metavar="QUERY", nargs="+", help="picture files, folders or globs"
    )
    parser.add_argument(
        "-k",
        type=int,
        default=10,
        metavar="N",
        help="number of neighbours per query (default: 10)",
    )
    parser.add_argument(
        "--index",
        dest="kind",
        choices=KINDS,
        default="flat",
        help="type of index: flat is exact; the others search only some of the codes, which is "
        "faster for millions of codes (default: flat)",
    )
    parser.add_argument(
        "--rescore",
        type=int,
        metavar="N",
        help="rank the N nearest codes again by the score <z, b>, where z are the logits of the "
        "query (how certain its bits are) and b is a code of -1 and +1 (default: rank by Hamming "
        "distance)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="also write an HTML page that shows the pictures"
    )


def run(args: argparse.Namespace) -> int:
    """Searches and prints the results; returns the exit status."""
    from hashnet_jax.cli._search import print_nearest

    print_nearest(
        args.run_dir,
        args.codes,
        args.queries,
        k=args.k,
        kind=args.kind,
        rescore=args.rescore,
        as_json=args.json,
        html=args.html,
    )
    return 0
