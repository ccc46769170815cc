"""`hashnet export`: exports the codes of a store for other programs."""

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """Exports the codes of a store for other programs. OUT determines the format:

  hashnet export STORE codes.parquet  paths, codes and labels as Parquet
  hashnet export STORE codes.faiss    a faiss index, and codes.faiss.ids.txt
  hashnet export STORE codes          codes.npy, ids.txt and manifest.json"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "export", help="export the codes of a store for other programs", description=DESCRIPTION
    )
    parser.add_argument("store", metavar="STORE", help="store folder or location in object storage")
    parser.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help="a .parquet or .faiss file (replaced if it exists), or a new folder whose name has no "
        "suffix",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Exports the codes; returns the exit status."""
    from hashnet_jax.cli._index import export

    export(args.store, args.out)
    return 0
