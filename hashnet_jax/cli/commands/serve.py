"""`hashnet serve`: serves a search page for the browser, and an API for other programs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = """Serves a web page that shows the pictures in a store nearest to one that you
drop on it, and a JSON API for other programs. For example:

  hashnet serve RUN --store pictures.store

Only this machine can connect by default. Changes that other programs make to
the store take effect without a restart. SIGTERM and Ctrl-C stop the service
after it has answered all accepted requests.

Clients may add and remove pictures if there is a token, which is read from
--token-file or the environment variable HASHNET_TOKEN."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command to the subparsers of `hashnet`."""
    return commands.add_parser(
        "serve",
        help="serve a web page and an HTTP API for searching a store",
        description=DESCRIPTION,
        add_options=add_options,
    )


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the options of the command to ``parser``."""
    del argv
    parser.add_argument(
        "run_dir", metavar="RUN", type=Path, help="folder of a finished run (contains model.npz)"
    )
    add = parser.add_argument
    add("--store", metavar="STORE", required=True, help="store of codes to search")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 to accept connections from other machines "
        "(default: 127.0.0.1)",
    )
    add(
        "--port",
        type=int,
        default=8000,
        metavar="N",
        help="port to listen on; 0 for any free port (default: 8000)",
    )
    add(
        "--allow-host",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that clients on other machines may use in URLs, or * for any name; may be "
        "repeated (default: only names of this machine)",
    )
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token that clients need to add or remove pictures",
    )
    add(
        "--uploads",
        type=Path,
        metavar="FOLDER",
        help="folder for pictures added by clients (default: clients cannot add pictures)",
    )
    _add_sizes(parser)


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--batch-size",
        type=int,
        default=4,
        metavar="N",
        help="number of pictures per batch; an incomplete batch takes as long as a full one "
        "(default: 4)",
    )
    add(
        "--poll-seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds between checks for a new version of the store (default: 1)",
    )
    add(
        "--max-bytes",
        type=int,
        default=20 * 2**20,
        metavar="N",
        help="maximum size of a request, in bytes (default: 20 MiB)",
    )
    add(
        "--max-pixels",
        type=int,
        default=50_000_000,
        metavar="N",
        help="maximum number of pixels in a picture (default: 50 million)",
    )
    add(
        "--max-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="maximum time for a request, in seconds (default: 10)",
    )
    add(
        "--max-requests",
        type=int,
        default=64,
        metavar="N",
        help="maximum number of concurrent requests; further ones are refused with status 429 "
        "(default: 64)",
    )


def run(args: argparse.Namespace) -> int:
    """Serves the store; returns the exit status."""
    from hashnet_jax.cli._serve import serve_store

    serve_store(
        args.run_dir,
        args.store,
        host=args.host,
        port=args.port,
        uploads=args.uploads,
        token_file=args.token_file,
        allowed_hosts=args.allowed_hosts,
        batch_size=args.batch_size,
        poll_seconds=args.poll_seconds,
        max_bytes=args.max_bytes,
        max_pixels=args.max_pixels,
        max_seconds=args.max_seconds,
        max_requests=args.max_requests,
    )
    return 0
