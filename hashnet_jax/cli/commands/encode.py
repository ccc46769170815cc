"""`hashnet encode`: encodes pictures into a codes folder."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "encode",
        help="encode pictures into a codes folder",
        description="Encodes pictures and writes codes.npy, ids.txt and manifest.json to a\n"
        "folder. Unreadable pictures are reported and skipped. To continue\n"
        "after an interruption, run the same command again.",
    )
    parser.add_argument(
        "run_dir", metavar="RUN", type=Path, help="folder of a finished run (contains model.npz)"
    )
    parser.add_argument(
        "pictures", metavar="PICTURES", nargs="+", help="picture files, folders or globs"
    )
    parser.add_argument(
        *("-o", "--output"),
        metavar="CODES",
        type=Path,
        required=True,
        help="output folder; must be new or empty",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="pictures per batch (default: 64)"
    )
    parser.add_argument(
        "--devices", type=int, metavar="N", help="number of devices to use (default: all)"
    )
    parser.set_defaults(after_interrupt="; run the same command again to continue")
    return parser


def run(args: argparse.Namespace) -> int:
    """Encodes the pictures; returns the exit status."""
    from hashnet_jax.distributed.devices import local_devices
    from hashnet_jax.index import encode_to_folder

    encode_to_folder(
        args.run_dir,
        args.pictures,
        args.output,
        batch_size=args.batch_size,
        devices=local_devices(args.devices),
    )
    return 0
