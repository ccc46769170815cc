"""Helpers for tests of stores: toy manifests, rows and comparisons."""

from pathlib import Path
from typing import Any

import numpy as np

from hashnet_jax import ModelSpec
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import (
    LocalEngine,
    Store,
    StoreManifest,
    create_store,
    make_rows,
    update_store,
)

ENGINE = LocalEngine(8, local_devices(1))


def manifest(bits: int = 12, network: str = "0") -> StoreManifest:
    """Returns the manifest of a network that does not exist."""
    spec = ModelSpec("small_cnn", bits=bits, image_size=8, resize=8)
    return StoreManifest.of(spec, weights_sha256=network * 64)


def rows(own: StoreManifest, ids: list[str], *, seed: int = 0, labels: Any = None) -> Any:
    """Returns rows with random codes."""
    codes = np.random.default_rng(seed).integers(0, 256, (len(ids), own.code_bytes), dtype=np.uint8)
    files = {"sizes": [1] * len(ids), "mtimes_ns": [2] * len(ids)}
    return make_rows(
        own, ids=ids, codes=codes, sha256s=[bytes(32)] * len(ids), labels=labels, **files
    )


def store_with_ties(folder: Path, run: Path, *, number: int = 300) -> Store:
    """Creates a store in which many pictures have the same code, written in several transactions.

    The order of the ids by code point differs from that in a dictionary and from that in UTF-16.
    """
    own = StoreManifest.of_run(run)
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.integers(0, 2, (12, own.bits), np.uint8), axis=1)
    folders = ["a", "B", "ä", "Zoë", "tab\tand \\", "日本", "\uffee", "😀"]
    ids = [f"{folders[i % len(folders)]}/{i}.jpg" for i in rng.permutation(number)]
    store = create_store(folder, own)
    for some in np.array_split(np.arange(number), 5):
        files = {"sizes": [1] * len(some), "mtimes_ns": [2] * len(some)}
        of_rows = codes[rng.integers(0, len(codes), len(some))]
        names = [ids[i] for i in some]
        store.upsert(
            make_rows(own, ids=names, codes=of_rows, sha256s=[bytes(32)] * len(some), **files)
        )
    return store


def all_rows(store: Store) -> list[dict[str, Any]]:
    """Returns the rows, sorted by id, without the check sums, which differ between stores."""
    columns = ["id", "code", "size", "mtime_ns", "sha256", "label"]
    found = [row for batch in store.rows(columns) for row in batch.to_pylist()]
    return sorted(found, key=lambda row: row["id"])


def fresh(folder: Path, run: Path, pictures: Path, **options: Any) -> Store:
    """Creates a store of the pictures in a new folder."""
    store = create_store(folder, StoreManifest.of_run(run))
    update_store(store, run, [pictures], engine=ENGINE, **options)
    return store
