from ._changes import Changes
from ._codes_folder import check_codes, note_unchecked, open_codes
from ._decoding import decode_pictures
from ._defaults import DEFAULT_PROBES
from ._duplicates import COPY_BITS, DuplicatePicture, find_duplicates
from ._engine import Engine, LocalEngine
from ._export import export_codes_folder, export_faiss, export_parquet
from ._faiss import import_faiss
from ._import import import_codes_folder
from ._inputs import expand, list_pictures
from ._lance import is_local
from ._manifest import MANIFEST, PARTIAL, Manifest, read_manifest
from ._ray import RayEngine
from ._saved_snapshot import load_snapshot, save_snapshot
from ._snapshot import Snapshot
from ._store import Store, create_store, open_store, store_exists
from ._store_manifest import StoreManifest, check_same_network
from ._store_rows import make_rows
from ._store_search import Neighbour, rescore_neighbours, search_snapshots
from ._stream import encode_pictures
from ._table_search import build_index, search_tables
from ._update import add_pictures, remove_pictures, update_store

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
    "decode_pictures",
    "encode_pictures",
    "expand",
    "export_codes_folder",
    "export_faiss",
    "export_parquet",
    "find_duplicates",
    "import_codes_folder",
    "import_faiss",
    "is_local",
    "list_pictures",
    "load_snapshot",
    "make_rows",
    "note_unchecked",
    "open_codes",
    "open_store",
    "read_manifest",
    "remove_pictures",
    "rescore_neighbours",
    "save_snapshot",
    "search_snapshots",
    "search_tables",
    "store_exists",
    "update_store",
]
