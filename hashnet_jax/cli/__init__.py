"""The command `hashnet`: a trained network over one's own pictures.

::

    hashnet encode RUN PICTURES... -o CODES     codes of pictures, written to a folder
    hashnet search RUN CODES QUERY...           the nearest of them to other pictures
    hashnet info RUN|CODES                      what is in a folder

The files here are in the order of their use: `inputs` (what a user names), `stream` (pictures to
codes), `codes_folder` (what is written, and its manifest), `journal` (while it is in the making),
`encode`, `index` (faiss), `search`, `page` (HTML), `info`.
"""

import argparse
import os
import sys
from pathlib import Path

import hashnet_jax
from hashnet_jax.cli.encode import encode_to_folder
from hashnet_jax.cli.index import KINDS
from hashnet_jax.cli.info import print_info
from hashnet_jax.cli.search import print_nearest
from hashnet_jax.data.pictures import ignore_warnings

RUN_HELP = "folder of a finished run, with model.npz"


def parser():
    p = argparse.ArgumentParser(
        prog="hashnet",
        description="A trained HashNet over one's own pictures: encode them, search among them.",
    )
    p.add_argument("--version", action="version", version=f"hashnet_jax {hashnet_jax.__version__}")
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    c = commands.add_parser(
        "encode",
        help="codes of pictures, written to a folder",
        description="Writes the codes of pictures to a folder: codes.npy, ids.txt, manifest.json. "
        "What cannot be read is named and skipped. Killed half-way, the same command continues.",
    )
    c.add_argument("run", metavar="RUN", type=Path, help=RUN_HELP)
    c.add_argument("pictures", metavar="PICTURES", nargs="+", help="files, folders, quoted globs")
    c.add_argument(
        "-o", "--output", metavar="CODES", type=Path, required=True, help="a new or empty folder"
    )
    c.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="pictures at a time (default: 64)"
    )
    c.add_argument("--devices", type=int, metavar="N", help="how many to use (default: all)")
    c.set_defaults(call=_encode)

    c = commands.add_parser(
        "search",
        help="the nearest of encoded pictures to others",
        description="Prints the pictures in CODES nearest to each query, by Hamming distance. The "
        "index is built when it is not there yet, and kept beside the codes in faiss's own format.",
    )
    c.add_argument("run", metavar="RUN", type=Path, help=RUN_HELP)
    c.add_argument("codes", metavar="CODES", type=Path, help="folder of `hashnet encode`")
    c.add_argument("queries", metavar="QUERY", nargs="+", help="files, folders, quoted globs")
    c.add_argument(
        "-k", type=int, default=10, metavar="N", help="neighbours of each query (default: 10)"
    )
    c.add_argument(
        "--index",
        choices=KINDS,
        default="flat",
        help="flat (default) is exact; the others look at a part of the codes, for millions",
    )
    c.add_argument("--json", action="store_true", help="print JSON instead of a table")
    c.add_argument("--html", metavar="FILE", type=Path, help="also write a page of the pictures")
    c.set_defaults(call=_search)

    c = commands.add_parser("info", help="what is in a folder of a run or of codes")
    c.add_argument("folder", metavar="RUN|CODES", type=Path)
    c.set_defaults(call=lambda args: print_info(args.folder))
    return p


def main(argv=None):
    args = parser().parse_args(argv)
    ignore_warnings()
    try:
        args.call(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        again = "; the same command continues" if args.command == "encode" else ""
        print(f"hashnet: interrupted{again}.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `hashnet search ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"hashnet: {error}", file=sys.stderr)
        return 1
    return 0


def _encode(args):
    encode_to_folder(
        args.run, args.pictures, args.output, batch_size=args.batch_size, n_devices=args.devices
    )


def _search(args):
    print_nearest(
        args.run,
        args.codes,
        args.queries,
        k=args.k,
        kind=args.index,
        as_json=args.json,
        html=args.html,
    )
