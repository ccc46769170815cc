"""`hashnet push`: shares the network of a finished run."""

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """Shares the network of a finished run as model.safetensors, config.json
and a model card. They are uploaded to a repository on the Hugging Face Hub:

  hashnet push RUN OWNER/NAME
  hashnet push RUN --folder FOLDER     writes the files, and uploads nothing

Then hashnet_jax.load("hf://OWNER/NAME") loads it. An upload needs a token: run
`hf auth login`, or set HF_TOKEN."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "push",
        help="share the network of a finished run on the Hugging Face Hub",
        description=DESCRIPTION,
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "repository",
        nargs="?",
        metavar="OWNER/NAME",
        help="repository on the Hub, which is created if it does not exist",
    )
    parser.add_argument(
        "--folder",
        dest="output",
        type=Path,
        metavar="FOLDER",
        help="folder to write the files to: a new or empty one, or one written by this command",
    )
    parser.add_argument(
        "--license", dest="license_id", metavar="ID", help="license in the card, e.g. mit"
    )
    parser.add_argument(
        "--private", action="store_true", help="create the repository as a private one"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the folder, uploads it, and prints where it is; returns the exit status."""
    from hashnet_jax.cli._push import push
    from hashnet_jax.distributed.printing import printable

    where = push(
        args.run_dir,
        args.repository,
        output=args.output,
        license_id=args.license_id,
        private=args.private,
    )
    print(printable(where))
    return 0
