"""`hashnet evaluate`: computes MAP under every convention, for codes from any program."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = """Computes the MAP of binary codes, from any program, under every convention,
with its worst, expected and best values over all ways of breaking ties. For
example:

  hashnet evaluate --query-codes q.npy --database-codes db.npy \\
      --query-labels q_labels.npy --database-labels db_labels.npy

Files are .npy, .npz (FILE:NAME chooses an array) or text with a row per line.
Codes are -1 and +1, 0 and 1, or, with --bits, packed bytes. Labels are class
ids, or multi-hot rows of 0 and 1."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "evaluate",
        help="compute the MAP of codes from any program, under every convention",
        description=DESCRIPTION,
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the options of the command to ``parser``."""
    from hashnet_jax.metrics import CONVENTIONS

    del argv
    for part in ("query", "database"):
        for content in ("codes", "labels"):
            parser.add_argument(
                f"--{part}-{content}",
                metavar="FILE",
                required=True,
                help=f"{content} of the {'queries' if part == 'query' else 'database'}",
            )
    parser.add_argument(
        "--bits",
        type=int,
        metavar="K",
        help="number of bits per code; required for packed codes (default: the number of columns)",
    )
    parser.add_argument(
        "--cutoff",
        type=_cutoff,
        nargs="+",
        default=[],
        metavar="R|all",
        help="compute MAP@R for these values of R, as well as MAP over the whole database",
    )
    parser.add_argument(
        "--convention",
        nargs="+",
        choices=CONVENTIONS,
        default=[],
        metavar="NAME",
        help=f"show only the MAP as these tools compute it: {', '.join(CONVENTIONS)} (default: "
        "all)",
    )
    parser.add_argument(
        "--reported",
        metavar="MAP",
        help="published MAP, e.g. 0.638; marks the conventions under which this value is possible",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="also write an HTML page with figures"
    )
    parser.add_argument(
        "--figures", metavar="FOLDER", type=Path, help="also write the figures as PNG and SVG"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates the codes and prints the results; returns the exit status."""
    from hashnet_jax.cli._evaluate import check_outputs, print_evaluation, write_outputs
    from hashnet_jax.data.retrieval_files import read_retrieval_files

    cutoffs = sorted({cutoff for cutoff in args.cutoff if cutoff is not None})
    check_outputs(cutoffs, args.reported, args.html)
    files = read_retrieval_files(
        query_codes=args.query_codes,
        database_codes=args.database_codes,
        query_labels=args.query_labels,
        database_labels=args.database_labels,
        bits=args.bits,
    )
    card, counts = print_evaluation(
        files,
        cutoffs=cutoffs,
        conventions=args.convention,
        reported=args.reported,
        as_json=args.json,
    )
    write_outputs(card, counts, args.html, args.figures)
    return 0


def _cutoff(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer or all, got {text!r}") from None
