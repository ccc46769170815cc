"""`hashnet export`: exports the codes of a store, or a network, for other programs."""

import argparse
from pathlib import Path
from typing import Any

from hashnet_jax.cli._export import FORMATS

DESCRIPTION = """Exports the codes of a store, or the network of a finished run, for other
programs. The suffix of OUT determines the format:

  hashnet export STORE codes.parquet  paths, codes and labels as Parquet
  hashnet export STORE codes.faiss    a faiss index, and codes.faiss.ids.txt
  hashnet export STORE codes          codes.npy, ids.txt and manifest.json
  hashnet export RUN net.onnx         the network, for ONNX runtimes
  hashnet export RUN net.stablehlo    the network, for JAX without this package,
                                      and net.stablehlo.json, which describes it"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "export",
        help="export the codes of a store, or a network, for other programs",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "folder",
        metavar="STORE|RUN",
        help="store folder or location in object storage; or, to export a network, the folder of a "
        "finished run",
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help="a .parquet or .faiss file (replaced if it exists), a new .onnx or .stablehlo file, "
        "or a new folder whose name has no suffix",
    )
    parser.add_argument(
        "--format",
        dest="output_format",
        choices=tuple(FORMATS.values()),
        help="format, which the suffix of OUT must match (default: that of the suffix)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Exports the codes or the network; returns the exit status."""
    from hashnet_jax.cli._export import export

    export(args.folder, args.out, args.output_format)
    return 0
