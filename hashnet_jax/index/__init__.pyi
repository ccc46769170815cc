from ._build import encode_to_folder
from ._changes import Changes
from ._codes_folder import (
    check_codes,
    check_same_weights,
    note_unchecked,
    open_codes,
    read_ids,
)
from ._decoding import decode_pictures
from ._duplicates import COPY_BITS, DuplicatePicture, find_duplicates
from ._engine import Engine, LocalEngine
from ._export import export_codes_folder, export_faiss, export_parquet
from ._faiss import KINDS, import_faiss, nearest, open_index, register
from ._import import import_codes_folder
from ._inputs import expand, list_pictures
from ._manifest import MANIFEST, PARTIAL, Manifest, read_manifest
from ._ray import RayEngine
from ._rescoring import rescored
from ._saved_snapshot import load_snapshot, save_snapshot
from ._snapshot import Snapshot
from ._store import Store, create_store, open_store, store_exists
from ._store_manifest import StoreManifest, check_same_network
from ._store_rows import make_rows
from ._store_search import DEFAULT_PROBES, Neighbour, rescore_neighbours, search_snapshots
from ._stream import encode_pictures
from ._table_search import build_index, search_tables
from ._update import add_pictures, remove_pictures, update_store

__all__ = [
    "COPY_BITS",
    "DEFAULT_PROBES",
    "KINDS",
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
    "check_same_weights",
    "create_store",
    "decode_pictures",
    "encode_pictures",
    "encode_to_folder",
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
    "nearest",
    "note_unchecked",
    "open_codes",
    "open_index",
    "open_store",
    "read_ids",
    "read_manifest",
    "register",
    "remove_pictures",
    "rescore_neighbours",
    "rescored",
    "save_snapshot",
    "search_snapshots",
    "search_tables",
    "store_exists",
    "update_store",
]
