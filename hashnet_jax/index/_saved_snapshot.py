"""A snapshot saved next to the table, so that searches from the shell do not load LanceDB.

Importing LanceDB and reading a table takes seconds, whereas a saved snapshot is simply mapped into
memory. The snapshot contains a hash of the table's version list, and is not used once that list has
changed. The file ends with the SHA-256 of all preceding bytes, and may be deleted at any time.
"""

import errno
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

import hashnet_jax
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import damage_named, parse_json
from hashnet_jax.index._lance import is_local
from hashnet_jax.index._snapshot import Snapshot
from hashnet_jax.index._store_manifest import StoreManifest
from hashnet_jax.index._store_rows import MANIFEST_KEY, schema_of
from hashnet_jax.index._table_folder import TABLE

SAVED = "snapshot.arrow"

_COLUMNS = ("id", "code", "label")
_BINDING_KEY = b"snapshot"
_HASH_BYTES = hashlib.sha256().digest_size

# The errno values of writes to a read-only file system or folder.
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def load_snapshot(uri: str | os.PathLike[str], *, where: str | None = None) -> Snapshot:
    """Reads the newest version of a store into memory, for exact search.

    The first call after a change reads the table, and saves the snapshot to `snapshot.arrow` in the
    store folder. Later calls map that file into memory. With a filter, or for a store in object
    storage, every call reads the table.

    Args:
      uri: store folder or location in object storage.
      where: a SQL filter, e.g. ``"label = 'cat'"``; None for all pictures.

    Returns:
      The snapshot.

    Raises:
      FileNotFoundError: if there is no store at ``uri``.
      DamagedFile: a ValueError, if the table at ``uri`` is damaged or is not a store's table.
      ValueError: if ``where`` is not a valid filter.
    """
    uri = os.fspath(uri)
    is_saved = where is None and is_local(uri)
    if is_saved and (saved := _read(uri)) is not None:
        return saved
    # Slow to import, and not needed for a saved snapshot.
    from hashnet_jax.index._store import open_store

    store = open_store(uri)
    return save_snapshot(store) if is_saved else store.snapshot(where=where)


def save_snapshot(store: "hashnet_jax.index.Store") -> Snapshot:
    """Reads the newest version of a store, and saves it for :func:`load_snapshot`.

    Nothing is saved if the store is in object storage, is read-only, or is being changed.

    Args:
      store: the store to read.

    Returns:
      The snapshot.
    """
    if not is_local(store.uri):
        return store.snapshot()
    before = _versions(store.uri)
    snapshot = store.snapshot()
    if before is not None and _versions(store.uri) == before:
        content = _content(snapshot, before)
        try:
            write_whole(_path(store.uri), lambda file: file.writelines(content))
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
    return snapshot


def _path(uri: str) -> Path:
    return Path(uri) / SAVED


def _versions(uri: str) -> str | None:
    """Returns a hash of the table's version list, to which every change adds an entry."""
    try:
        with os.scandir(Path(uri, f"{TABLE}.lance", "_versions")) as entries:
            manifests = (entry for entry in entries if entry.name.endswith(".manifest"))
            listed = sorted((entry.name, *_size_and_time(entry)) for entry in manifests)
    except FileNotFoundError:
        return None
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _size_and_time(entry: os.DirEntry[str]) -> tuple[int, int]:
    status = entry.stat()
    return status.st_size, status.st_mtime_ns


def _content(snapshot: Snapshot, versions: str) -> tuple[pa.Buffer, bytes]:
    """Returns the two parts of a snapshot file: an Arrow file and its SHA-256."""
    binding = json.dumps({"versions": versions, "version": snapshot.version})
    fields = [schema_of(snapshot.manifest).field(name) for name in _COLUMNS]
    metadata = {MANIFEST_KEY: snapshot.manifest.to_json(), _BINDING_KEY: binding}
    schema = pa.schema(fields, metadata=metadata)
    codes = pa.array(snapshot.codes.reshape(-1))
    code = pa.FixedSizeListArray.from_arrays(codes, snapshot.manifest.code_bytes)
    table = pa.Table.from_arrays([snapshot.ids, code, snapshot.labels], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table, max_chunksize=max(1, len(table)))
    content = sink.getvalue()
    return content, hashlib.sha256(content).digest()


def _read(uri: str) -> Snapshot | None:
    """Returns the saved snapshot, or None if it is missing, outdated or damaged."""
    path, versions = _path(uri), _versions(uri)
    if versions is None or not path.is_file():
        return None
    try:
        with damage_named(path, "a snapshot of the store", "it is written again"):
            return _parsed(path, versions)
    except ValueError as error:
        print(f"note: {error}", file=sys.stderr, flush=True)
        return None


def _parsed(path: Path, versions: str) -> Snapshot | None:
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
    table, digest = content.slice(0, max(0, len(content) - _HASH_BYTES)), content[-_HASH_BYTES:]
    if hashlib.sha256(table).digest() != bytes(digest):
        raise ValueError("its SHA-256 does not match its content")
    reader = pa.ipc.open_file(table)
    metadata = reader.schema.metadata
    binding = parse_json(metadata[_BINDING_KEY])
    if binding["versions"] != versions:
        return None
    manifest = StoreManifest.from_json(metadata[MANIFEST_KEY].decode())
    rows = reader.read_all()
    ids, labels = (_one_chunk(rows[name]) for name in ("id", "label"))
    codes = _mapped_codes(_one_chunk(rows["code"]), manifest.code_bytes)
    return Snapshot(manifest, binding["version"], ids, codes, labels)


def _mapped_codes(column: pa.FixedSizeListArray, width: int) -> UInt8[np.ndarray, "N bytes"]:
    # Arrow's own conversion imports pandas if it is installed, which takes half a second.
    values = column.values
    data = np.frombuffer(values.buffers()[1] or b"", np.uint8, len(values), values.offset)
    return data.reshape(-1, width)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
