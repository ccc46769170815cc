"""Runs the search service in this process, on a free port of the loopback interface."""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import Store, StoreManifest, create_store, encode_pictures, make_rows
from hashnet_jax.index.service import listen, url_of
from hashnet_jax.weights import load

DEADLINE_SECONDS = 30


@contextlib.contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Runs an application in a thread; yields its URL without the last slash."""
    with listen("127.0.0.1", 0) as listening:
        config = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            yield url_of(listening).rstrip("/")
        finally:
            server.should_exit = True
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()


@contextlib.contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    """Runs an application; yields a client once the network is compiled."""
    with running(app) as url, httpx.Client(base_url=url, timeout=DEADLINE_SECONDS) as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        yield client


def wait_until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Waits until a condition holds, and fails if it does not within a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"the condition did not hold within {seconds} s")


def make_store(uri: Path, run: Path, pictures: Sequence[Path], labels=None) -> Store:
    """Creates a store with the codes of pictures."""
    manifest, paths = StoreManifest.of_run(run), list(map(str, pictures))
    store = create_store(uri, manifest)
    batches = encode_pictures(load(run), paths, devices=local_devices(1), batch_size=8)
    codes = np.concatenate([packed for _, _, packed in batches])
    store.upsert(rows_of(manifest, paths, codes, labels))
    return store


def rows_of(manifest: StoreManifest, paths: Sequence[str], codes: np.ndarray, labels=None):
    """Returns rows for pictures that exist."""
    status = list(map(os.stat, paths))
    return make_rows(
        manifest,
        ids=paths,
        codes=codes,
        sizes=[one.st_size for one in status],
        mtimes_ns=[one.st_mtime_ns for one in status],
        sha256s=[hashlib.sha256(Path(path).read_bytes()).digest() for path in paths],
        labels=labels,
    )
