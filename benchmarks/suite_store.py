"""Measures how long it takes to update a store after small changes to a large collection.

First, a store of N pictures is created. For every 20,000 pictures, 100 are then added, 50 changed
and 30 removed. The store is updated, and then updated again without any changes. Finally, it is
compared row by row with a new store of the same pictures. The network is tiny, so most of the time
is spent on listing, decoding and writing.
"""

import argparse
import contextlib
import importlib.util
import io
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from benchmarks.measuring import Row, missing
from hashnet_jax import ModelSpec
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import (
    Changes,
    LocalEngine,
    Store,
    StoreManifest,
    create_store,
    update_store,
)

ADDED, CHANGED, REMOVED = 1 / 200, 1 / 400, 3 / 2000
SIDE, FILES_PER_FOLDER = 32, 1000


def run(options: argparse.Namespace) -> Iterator[Row]:
    if importlib.util.find_spec("lancedb") is None:
        yield missing("store", "update", "hashnet_jax", "lancedb")
        return
    number = options.stored_pictures
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary).absolute()
        world = World(folder, number, options)
        steps = (
            (f"index {number:,} new pictures", lambda: None, Changes(new=number)),
            *_changes(world, number),
            ("no change", lambda: None, Changes()),
        )
        for case, change, expected in steps:
            change()
            start = time.perf_counter()
            found = world.update()
            seconds = time.perf_counter() - start
            if found != expected:
                raise RuntimeError(f"{case}: expected {expected}, got {found}.")
            yield Row("store", case, "hashnet_jax", [seconds], note=str(found))
        yield world.compare_with_new()


def _changes(world: "World", number: int) -> list[tuple[str, Any, Changes]]:
    added, changed, removed = (max(1, round(share * number)) for share in (ADDED, CHANGED, REMOVED))
    return [
        (f"add {added}", lambda: world.add(added), Changes(new=added)),
        (f"change {changed}", lambda: world.change(changed), Changes(changed=changed)),
        (f"remove {removed}", lambda: world.remove(removed), Changes(gone=removed)),
    ]


class World:
    """A folder of pictures, a tiny network, and a store."""

    def __init__(self, folder: pathlib.Path, number: int, options: argparse.Namespace) -> None:
        self._folder, self._rng = folder, np.random.default_rng(0)
        self._run, self._photos = folder / "run", folder / "photos"
        self._run.mkdir()
        spec = ModelSpec("small_cnn", options.bits, image_size=SIDE, resize=SIDE)
        hashnet_jax.save(self._run, hashnet_jax.init(jax.random.key(0), spec))
        self._engine = LocalEngine(options.batch_size, local_devices(1))
        self._count = 0
        self.add(number)
        self._store = self._new("store")
        # Compile, and import the modules that are loaded on first use.
        update_store(self._new("warm"), self._run, [self._paths()[0]], engine=self._engine)

    def add(self, number: int) -> None:
        """Writes new pictures."""
        for _ in range(number):
            path = self._photos / f"{self._count // FILES_PER_FOLDER:04}" / f"{self._count:07}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path)
            self._count += 1

    def change(self, number: int) -> None:
        """Overwrites pictures, spread over all folders."""
        for path in self._spread(number):
            self._write(path)

    def remove(self, number: int) -> None:
        """Deletes pictures, spread over all folders."""
        for path in self._spread(number):
            path.unlink()

    def update(self) -> Changes:
        """Updates the store."""
        return self._update(self._store)

    def compare_with_new(self) -> Row:
        """Compares with a new store; raises a RuntimeError if a row differs."""
        new, start = self._new("new"), time.perf_counter()
        self._update(new)
        seconds = time.perf_counter() - start
        found, expected = _rows(self._store), _rows(new)
        if found != expected:
            raise RuntimeError("the updated store differs from a new one.")
        note = f"{len(found):,} rows equal those of the updated store"
        return Row("store", "a new store of the same", "hashnet_jax", [seconds], note=note)

    def _update(self, store: Store) -> Changes:
        with contextlib.redirect_stderr(io.StringIO()):
            return update_store(store, self._run, [self._photos], engine=self._engine)

    def _new(self, name: str) -> Store:
        return create_store(self._folder / name, StoreManifest.of_run(self._run))

    def _paths(self) -> list[pathlib.Path]:
        return sorted(self._photos.glob("*/*.png"))

    def _spread(self, number: int) -> list[pathlib.Path]:
        paths = self._paths()
        return [paths[i * len(paths) // number] for i in range(number)]

    def _write(self, path: pathlib.Path) -> None:
        few = self._rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(few).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)


def _rows(store: Store) -> list[dict[str, Any]]:
    columns = ["id", "code", "size", "mtime_ns", "sha256", "label"]
    rows = [row for batch in store.rows(columns) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["id"])
