"""`hashnet search`: finds the encoded pictures nearest to each query."""

import argparse
import concurrent.futures
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    parser = commands.add_parser(
        "search",
        help="find the encoded pictures nearest to each query",
        usage="hashnet search RUN QUERY ... --store STORE [OPTION ...]",
        description="Prints the pictures in a store that are nearest to each query by Hamming\n"
        "distance.",
        add_options=add_options,
    )
    parser.set_defaults(before_jax=_read_ahead)
    return parser


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the options of the command to ``parser``."""
    del argv
    add = parser.add_argument
    add("run_dir", metavar="RUN", type=Path, help="folder of a finished run (contains model.npz)")
    add("queries", metavar="QUERY", nargs="+", help="picture files, folders or globs")
    add(
        "--store",
        action="append",
        metavar="STORE",
        help="store to search: a folder or a location in object storage; may be repeated",
    )
    _add_limits(add)
    _add_index(add)
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--html", metavar="FILE", type=Path, help="also write an HTML page that shows the results")


def _add_limits(add: Any) -> None:
    add(
        "-k",
        type=int,
        metavar="N",
        help="number of neighbours per query (default: 10, or all within --radius)",
    )
    add(
        "--radius",
        type=int,
        metavar="R",
        help="show only pictures within a Hamming distance of R (default: no limit)",
    )
    add(
        "--where",
        metavar="SQL",
        help="show only pictures that match a SQL filter, e.g. \"label = 'cat' AND size > 10000\"; "
        "the columns are id, label, size, mtime_ns and sha256 (default: all)",
    )
    add(
        "--rescore",
        type=int,
        metavar="N",
        help="rerank the N nearest codes by their inner product with the query's logits, whose "
        "magnitudes show how certain each bit is (default: rank by Hamming distance)",
    )


def _add_index(add: Any) -> None:
    from hashnet_jax.index import DEFAULT_PROBES

    add(
        "--index",
        dest="kind",
        choices=("flat", "ivf"),
        default="flat",
        help="type of index: flat is exact; ivf searches only some of the codes, which pays off "
        "if they do not fit into memory (default: flat)",
    )
    add(
        "--probes",
        type=int,
        metavar="N",
        help="number of index lists to search per query; needs --index ivf (default: "
        f"{DEFAULT_PROBES})",
    )


def _read_ahead(args: argparse.Namespace) -> None:
    """Starts a thread that reads and hashes the network, in parallel with the slow imports."""
    if not args.store:
        args.parser.error(
            "--store is missing. To search a codes folder, import it into a store first: hashnet "
            "index import CODES --store STORE"
        )
    from hashnet_jax.weights import read_arrays

    pool = concurrent.futures.ThreadPoolExecutor(1)
    args.model = pool.submit(read_arrays, args.run_dir)
    pool.shutdown(wait=False)


def run(args: argparse.Namespace) -> int:
    """Searches and prints the results; returns the exit status."""
    from hashnet_jax.cli._search_stores import print_nearest_in_stores

    print_nearest_in_stores(
        args.run_dir,
        args.model.result,
        args.store,
        args.queries,
        k=args.k,
        radius=args.radius,
        kind=args.kind,
        probes=args.probes,
        rescore=args.rescore,
        where=args.where,
        as_json=args.json,
        html=args.html,
    )
    return 0
