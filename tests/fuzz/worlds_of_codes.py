"""Builds the healthy stores and codes folders, and the codes and labels of other programs.

::

    store, store_x              of the two folders of pictures, after several updates
    bare_store, bare_store_x    the same without the snapshot
    large_store, large_store_x  of enough codes for the index of LanceDB
    codes, codes_x              the codes folders that are exported from the stores
    evaluation, evaluation_x    codes and labels as .npy, .npz and text
"""

import shutil
from pathlib import Path

import numpy as np

from hashnet_jax.cli import main
from hashnet_jax.index import StoreManifest, build_index, create_store, make_rows, open_store
from tests.fuzz.fake_network import fake_network

LARGE = 300
QUERIES, DATABASE, BITS, CLASSES = 10, 40, 16, 3


def stores(world: Path) -> None:
    """Builds the stores and the codes folders."""
    for name, suffix in (("pictures", ""), ("strangers", "_x")):
        store, pictures = world / f"store{suffix}", world / name
        for part in ("cat", "dog", "."):
            update = ["index", "update", "--store", store, world / "run", pictures / part]
            options = ["--folder-labels", "--batch-size", "8", "--devices", "1"]
            with fake_network():
                assert main([*map(str, update), *options]) == 0
        removed = [pictures / "cat" / f"{i:02}.png" for i in (1, 11)]
        assert main(["index", "remove", "--store", str(store), *map(str, removed)]) == 0
        assert main(["export", str(store), str(world / f"codes{suffix}")]) == 0
        shutil.copytree(store, world / f"bare_store{suffix}")
        (world / f"bare_store{suffix}" / "snapshot.arrow").unlink()
        _large_store(world / f"large_store{suffix}", world / "run", len(suffix))


def _large_store(folder: Path, run: Path, seed: int) -> None:
    manifest, rng = StoreManifest.of_run(run), np.random.default_rng(seed)
    store = create_store(folder, manifest)
    codes = rng.integers(0, 256, (LARGE, manifest.code_bytes), np.uint8)
    ids = [f"/pictures/{seed}-{i:03}.png" for i in range(LARGE)]
    files = {"sizes": [1] * LARGE, "mtimes_ns": [2] * LARGE, "sha256s": [bytes(32)] * LARGE}
    store.upsert(make_rows(manifest, ids=ids, codes=codes, **files))
    store.delete(ids[:7])
    build_index(open_store(folder))


def evaluations(world: Path) -> None:
    """Writes codes and labels in each form."""
    for seed, suffix in ((0, ""), (1, "_x")):
        folder, rng = world / f"evaluation{suffix}", np.random.default_rng(seed)
        folder.mkdir()
        q, db = (np.int8(2 * rng.integers(0, 2, (n, BITS)) - 1) for n in (QUERIES, DATABASE))
        ids, db_ids = rng.integers(0, CLASSES, QUERIES), rng.integers(0, CLASSES, DATABASE)
        for name, codes, labels in (("q", q, ids), ("db", db, db_ids)):
            multi_hot = np.eye(CLASSES, dtype=np.uint8)[labels]
            np.save(folder / f"{name}.npy", codes)
            np.save(folder / f"{name}_labels.npy", labels)
            np.savetxt(folder / f"{name}.txt", codes, "%+d", delimiter="")
            np.savetxt(folder / f"{name}_labels.txt", multi_hot, "%d")
            np.savetxt(folder / f"{name}_labels.csv", multi_hot, "%d", delimiter=",")
            np.savez(folder / f"{name}.npz", codes=np.packbits(codes > 0, axis=1))
            np.savez(folder / f"{name}_labels.npz", labels=labels)
        np.savez_compressed(folder / "all.npz", db=np.packbits(db > 0, axis=1), db_labels=db_ids)
