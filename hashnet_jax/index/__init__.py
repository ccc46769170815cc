"""Encodes a user's own pictures, stores their packed codes, and searches them."""

from hashnet_jax.index._changes import Changes
from hashnet_jax.index._codes_folder import check_codes, note_unchecked, open_codes
from hashnet_jax.index._duplicates import COPY_BITS, DuplicatePicture, find_duplicates
from hashnet_jax.index._engine import Engine, LocalEngine
from hashnet_jax.index._export import (
    export_codes_folder,
    export_faiss,
    export_parquet,
    import_faiss,
)
from hashnet_jax.index._import import import_codes_folder
from hashnet_jax.index._inputs import expand, list_pictures
from hashnet_jax.index._manifest import MANIFEST, PARTIAL, Manifest, read_manifest
from hashnet_jax.index._ray import RayEngine
from hashnet_jax.index._saved_snapshot import load_snapshot, save_snapshot
from hashnet_jax.index._snapshot import Snapshot
from hashnet_jax.index._store import Store, create_store, open_store, store_exists
from hashnet_jax.index._store_manifest import StoreManifest, check_same_network
from hashnet_jax.index._store_rows import make_rows
from hashnet_jax.index._store_search import Neighbour, rescore_neighbours, search_snapshots
from hashnet_jax.index._stream import encode_pictures, picture_logits, query_logits
from hashnet_jax.index._table_search import DEFAULT_PROBES, build_index, search_tables
from hashnet_jax.index._update import add_pictures, remove_pictures, update_store

__all__ = [
    "COPY_BITS",
    "DEFAULT_PROBES",
    "MANIFEST",
    "PARTIAL",
    "Changes",
    "DuplicatePicture",
    "Engine",
    "LocalEngine",
    "Manifest",
    "Neighbour",
    "RayEngine",
    "Snapshot",
    "Store",
    "StoreManifest",
    "add_pictures",
    "build_index",
    "check_codes",
    "check_same_network",
    "create_store",
    "encode_pictures",
    "expand",
    "export_codes_folder",
    "export_faiss",
    "export_parquet",
    "find_duplicates",
    "import_codes_folder",
    "import_faiss",
    "list_pictures",
    "load_snapshot",
    "make_rows",
    "note_unchecked",
    "open_codes",
    "open_store",
    "picture_logits",
    "query_logits",
    "read_manifest",
    "remove_pictures",
    "rescore_neighbours",
    "save_snapshot",
    "search_snapshots",
    "search_tables",
    "store_exists",
    "update_store",
]
