"""`hashnet search`: finds the encoded pictures nearest to each query."""

import argparse
import concurrent.futures
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The options that only apply to stores, keyed by the parameters they set.
_OF_STORES = {"radius": "--radius", "probes": "--probes", "where": "--where"}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "search",
        help="find the encoded pictures nearest to each query",
        usage="hashnet search RUN QUERY ... --store STORE [OPTION ...]\n"
        "       hashnet search RUN CODES QUERY ... [OPTION ...]",
        description="Prints the pictures in a store, or in a codes folder, that are nearest to\n"
        "each query by Hamming distance. The index of a codes folder is built on\n"
        "first use, and stored in the folder in faiss's format.",
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the options of the command to ``parser``."""
    del argv
    add = parser.add_argument
    add("run_dir", metavar="RUN", type=Path, help="folder of a finished run (contains model.npz)")
    add(
        "queries",
        metavar="QUERY",
        nargs="+",
        help="picture files, folders or globs; without --store, the first argument is CODES, a "
        "folder written by `hashnet encode`",
    )
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
        help="show only pictures within a Hamming distance of R; needs --store (default: no limit)",
    )
    add(
        "--where",
        metavar="SQL",
        help="show only pictures that match a SQL filter, e.g. \"label = 'cat' AND size > 10000\"; "
        "the columns are id, label, size, mtime_ns and sha256; needs --store (default: all)",
    )
    add(
        "--rescore",
        type=int,
        metavar="N",
        help="rerank the N nearest codes by their inner product with the query's logits, whose "
        "magnitudes show how certain each bit is (default: rank by Hamming distance)",
    )


def _add_index(add: Any) -> None:
    from hashnet_jax.index import DEFAULT_PROBES, KINDS

    add(
        "--index",
        dest="kind",
        choices=KINDS,
        default="flat",
        help="type of index: flat is exact; the others search only some of the codes, which is "
        "faster for millions of codes. A store supports flat and ivf (default: flat)",
    )
    add(
        "--probes",
        type=int,
        metavar="N",
        help="number of index lists to search per query; needs --store and --index ivf (default: "
        f"{DEFAULT_PROBES})",
    )


def run(args: argparse.Namespace) -> int:
    """Searches and prints the results; returns the exit status."""
    shown = {"rescore": args.rescore, "as_json": args.json, "html": args.html}
    if args.store:
        from hashnet_jax.weights import read_arrays

        limits = {name: getattr(args, name) for name in ("k", *_OF_STORES)}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            # Reads the network while the modules are imported and the store is read.
            model = pool.submit(read_arrays, args.run_dir)
            from hashnet_jax.cli._search_stores import print_nearest_in_stores

            print_nearest_in_stores(
                args.run_dir,
                model.result,
                args.store,
                args.queries,
                kind=args.kind,
                **limits,
                **shown,
            )
        return 0
    for name, flag in _OF_STORES.items():
        if getattr(args, name) is not None:
            args.parser.error(f"{flag} needs --store")
    codes, *queries = args.queries
    if not queries:
        args.parser.error("a QUERY is missing: pass CODES and QUERY, or QUERY and --store")
    from hashnet_jax.cli._search import print_nearest

    k = 10 if args.k is None else args.k
    print_nearest(args.run_dir, Path(codes), queries, k=k, kind=args.kind, **shown)
    return 0
