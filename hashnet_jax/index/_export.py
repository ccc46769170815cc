"""Exports the codes of a store to files that other programs can read."""

import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hashnet_jax.distributed.files import make_folder, sha256, sync_folder, write_whole
from hashnet_jax.index._faiss import import_faiss
from hashnet_jax.index._manifest import CODES, IDS, Manifest
from hashnet_jax.index._snapshot import Snapshot
from hashnet_jax.index._store import Store

_PARQUET_COLUMNS = ("id", "code", "label", "size", "mtime_ns", "sha256")


def export_codes_folder(store: Store, folder: str | os.PathLike[str]) -> int:
    """Writes a codes folder: `codes.npy`, `ids.txt` and `manifest.json`.

    The rows are sorted by id. ``np.load("codes.npy", mmap_mode="r")`` opens the codes, and
    :func:`hashnet_jax.index.import_codes_folder` imports the folder into a store.

    Args:
      store: the store to export.
      folder: output folder; must be new or empty.

    Returns:
      The number of codes.

    Raises:
      FileExistsError: if the folder contains files.
      ValueError: if the store is empty, or a path contains a line break.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"`out` must be a folder, but {folder} is a file.")
    if folder.is_dir() and (content := os.listdir(folder)):
        raise FileExistsError(
            f"`out` must be a new or empty folder, but {folder} contains {min(content)!r}."
        )
    snapshot = _not_empty(store)
    lines = _lines(snapshot)
    make_folder(folder)
    try:
        write_whole(folder / CODES, lambda file: np.save(file, snapshot.codes))
        write_whole(folder / IDS, lambda file: file.write(lines))
        _write_manifest(folder, store, snapshot)  # last: without it, the folder has no codes
    except BaseException:
        for name in (CODES, IDS):
            (folder / name).unlink(missing_ok=True)
        raise
    return len(snapshot)


def _write_manifest(folder: Path, store: Store, snapshot: Snapshot) -> None:
    own = snapshot.manifest
    manifest = Manifest(
        number=len(snapshot),
        bits=own.bits,
        padding_bits=-own.bits % 8,
        bit_order=own.bit_order,
        sign_of_zero=own.sign_of_zero,
        weights_sha256=own.weights_sha256,
        backbone=own.backbone,
        preprocessing=own.preprocessing,
        batch_size=None,
        devices=None,
        inputs=[store.uri],
        skipped=[],
        package=own.package,
    )
    hashes = {"codes_sha256": sha256(folder / CODES), "ids_sha256": sha256(folder / IDS)}
    dataclasses.replace(manifest, **hashes).write(folder)


def export_faiss(store: Store, path: str | os.PathLike[str]) -> int:
    """Writes a flat binary faiss index to ``path``, and the picture paths to `PATH.ids.txt`.

    Line i of the text file is the path to the picture whose code has id i in the index. Existing
    files are replaced.

    Args:
      store: the store to export.
      path: file for the index.

    Returns:
      The number of codes.

    Raises:
      ModuleNotFoundError: if faiss is missing.
      ValueError: if the store is empty, or a path contains a line break.
    """
    faiss, path = import_faiss("write a faiss index"), Path(path)
    snapshot = _not_empty(store)
    lines = _lines(snapshot)
    index = faiss.IndexBinaryFlat(8 * snapshot.codes.shape[1])
    index.add(snapshot.codes)
    write_whole(path.with_name(f"{path.name}.ids.txt"), lambda file: file.write(lines))
    write_whole(
        path, lambda file: faiss.write_index_binary(index, faiss.PyCallbackIOWriter(file.write))
    )
    return len(snapshot)


def export_parquet(store: Store, path: str | os.PathLike[str]) -> int:
    """Writes the rows to a Parquet file, with the manifest in the schema metadata.

    The columns are id, code (a list of bytes), label, size, mtime_ns and sha256. The rows need not
    fit in memory, so they are written in no particular order. An existing file is replaced.

    Args:
      store: the store to export.
      path: the Parquet file to write.

    Returns:
      The number of rows.
    """
    path = Path(path)
    number = 0
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder, "partial")
        with pq.ParquetWriter(partial, store.schema(_PARQUET_COLUMNS)) as writer:
            for batch in store.rows(_PARQUET_COLUMNS):
                writer.write_table(pa.Table.from_batches([batch]).cast(writer.schema))
                number += len(batch)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    sync_folder(path.parent)
    return number


def _not_empty(store: Store) -> Snapshot:
    snapshot = store.snapshot()
    if not len(snapshot):
        raise ValueError(f"the store {store.uri} is empty. Add pictures to it first.")
    return snapshot


def _lines(snapshot: Snapshot) -> bytes:
    """Returns the ids, one per line."""
    ids = snapshot.ids.to_pylist()
    for path in ids:
        if "\n" in path:
            raise ValueError(
                f"a file with one path per line cannot contain {path!r}, which has a line break. "
                "Rename the picture, or export the store to Parquet."
            )
    return "".join(f"{path}\n" for path in ids).encode()
