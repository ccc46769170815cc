"""Runs the search service for a store."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.reading import read_text
from hashnet_jax.index import check_same_network, open_store
from hashnet_jax.model import check_finite
from hashnet_jax.weights import load

TOKEN_VARIABLE = "HASHNET_TOKEN"


def serve_store(
    run_dir: Path,
    store: str,
    *,
    host: str,
    port: int,
    uploads: Path | None,
    token_file: Path | None,
    allowed_hosts: Sequence[str],
    batch_size: int,
    poll_seconds: float,
    max_bytes: int,
    max_pixels: int,
    max_seconds: float,
    max_requests: int,
) -> None:
    """Serves a store until the process receives SIGTERM or SIGINT.

    Args:
      run_dir: run folder that contains `model.npz`.
      store: store folder or location in object storage.
      host: address to listen on.
      port: port to listen on; 0 for any free port.
      uploads: folder for pictures that clients add; None if clients cannot add pictures.
      token_file: file with the token that clients need to add or remove pictures; None to use the
        environment variable ``HASHNET_TOKEN``.
      allowed_hosts: host names by which clients may address the service, in addition to the names
        of this machine.
      batch_size: number of pictures per batch.
      poll_seconds: number of seconds between checks for a new version of the store.
      max_bytes, max_pixels, max_seconds, max_requests: see
        :class:`hashnet_jax.index.service.Limits`.

    Raises:
      FileNotFoundError: if the run, the store or the token file does not exist.
      ModuleNotFoundError: if fastapi or another library for the service is missing.
      OSError: if the service cannot listen on ``host`` and ``port``.
      ValueError: if the codes were computed by a different network, the store is damaged, or an
        argument is out of range.
    """
    service = _import_service()
    limits = service.Limits(
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        max_seconds=max_seconds,
        max_requests=max_requests,
    )
    token = _read_token(token_file)
    if token is not None:
        service.check_token(token)
    params = load(run_dir)
    check_finite(params, source=f"the network in {run_dir}")
    check_same_network(open_store(store).manifest, store, run_dir)
    running = service.Service(
        params,
        store,
        limits=limits,
        batch_size=batch_size,
        poll_seconds=poll_seconds,
        uploads=uploads,
    )
    own = f"[{host}]" if ":" in host else host
    with service.listen(host, port) as listening:
        codes, url = len(running.current), service.url_of(listening)
        service.serve(
            running,
            listening,
            token=token,
            allowed_hosts=[*service.LOCAL_HOSTS, own, *allowed_hosts],
            on_ready=lambda: print(f"serving {codes:,} pictures at {url}", flush=True),
        )
    print(f"stopped serving {printable(store)}", flush=True)


def _import_service() -> ModuleType:
    """Imports the service, or raises an error that explains how to install its dependencies."""
    try:
        from hashnet_jax.index import service
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is needed to serve a store. Install it with "
            "pip install 'hashnet_jax[serve]'."
        ) from error
    return service


def _read_token(token_file: Path | None) -> str | None:
    """Returns the token from the file or, without a file, from the environment (None if unset)."""
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE)
    remedy = "write the token to it as a single line"
    return read_text(token_file, "a token file", remedy).strip()
