"""`hashnet index`: keeps a store of codes in sync with a collection of pictures."""

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """Keeps a store of codes in sync with a changing collection of pictures. For
example:

  hashnet index update RUN ~/pictures --store ~/pictures.store
  hashnet search RUN query.jpg --store ~/pictures.store"""

UPDATE = """Encodes pictures that are new or have changed, and deletes those that are gone
from the named folders. Creates the store if there is none. To continue after an
interruption, run the same command again."""

ADD = """Encodes pictures that are new or have changed; deletes nothing. Creates the
store if there is none."""

REMOVE = "Deletes pictures from the store. The files are not touched and need not exist."

IMPORT = """Imports a codes folder, written by `hashnet export` or by `hashnet encode` of an
earlier version, without encoding its pictures again. The next update encodes
those that were modified after the folder was written. Creates the store if
there is none."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "index", help="keep a store of codes in sync with pictures", description=DESCRIPTION
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    update = _add_action(
        actions, "update", "encode new and changed pictures, delete missing ones", UPDATE
    )
    add = _add_action(actions, "add", "encode new and changed pictures", ADD)
    for action in (update, add):
        _add_encoding_options(action)
    update.add_argument(
        "--dry-run", action="store_true", help="only print what would change; encode nothing"
    )
    remove = _add_action(actions, "remove", "delete pictures from a store", REMOVE)
    remove.add_argument(
        "pictures", metavar="PICTURES", nargs="+", help="pictures, or folders of pictures"
    )
    _add_action(actions, "info", "describe a store", "Describes a store.")
    imports = _add_action(actions, "import", "import a codes folder", IMPORT)
    imports.add_argument(
        "codes", metavar="CODES", type=Path, help="codes folder (codes.npy, ids.txt, manifest.json)"
    )
    for action in (update, add, remove, imports):
        action.set_defaults(after_interrupt="; run the same command again to continue")
    return parser


def run(args: argparse.Namespace) -> int:
    """Runs the requested action; returns the exit status."""
    from hashnet_jax.cli import _index

    if args.action == "info":
        _index.print_info(args.store)
    elif args.action == "remove":
        _index.remove(args.store, args.pictures)
    elif args.action == "import":
        _index.import_codes(args.store, args.codes)
    else:
        _index.update(
            args.store,
            args.run_dir,
            args.pictures,
            batch_size=args.batch_size,
            devices=args.devices,
            engine=args.engine,
            address=args.address,
            workers=args.workers,
            label=args.label,
            folder_labels=args.folder_labels,
            only_add=args.action == "add",
            dry_run=args.action == "update" and args.dry_run,
        )
    return 0


def _add_action(actions: Any, name: str, help: str, description: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=help, description=description)
    action.add_argument(
        "--store",
        metavar="STORE",
        required=True,
        help="store folder or location in object storage, e.g. s3://bucket/store",
    )
    action.set_defaults(parser=action)
    return action


def _add_encoding_options(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "run_dir", metavar="RUN", type=Path, help="folder of a finished run (contains model.npz)"
    )
    action.add_argument(
        "pictures", metavar="PICTURES", nargs="+", help="picture files, folders or globs"
    )
    labels = action.add_mutually_exclusive_group()
    labels.add_argument("--label", metavar="LABEL", help="label for all PICTURES")
    labels.add_argument(
        "--folder-labels",
        action="store_true",
        help="label each picture with the name of the folder that contains it (default: pictures "
        "keep the labels that they have in the store)",
    )
    action.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="pictures per batch (default: 64)"
    )
    action.add_argument(
        "--devices", type=int, metavar="N", help="number of devices to use (default: all)"
    )
    action.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where to encode: on this machine, or on the nodes of a Ray cluster, all of which "
        "must have the pictures at the same paths as this machine (default: local)",
    )
    action.add_argument(
        "--address",
        metavar="ADDRESS",
        help="address of the Ray cluster; auto if this machine is one of its nodes (default: start "
        "Ray on this machine)",
    )
    action.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of Ray workers (default: one per GPU, or one per node if there are no GPUs)",
    )
