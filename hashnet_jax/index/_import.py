"""Imports codes folders into a store."""

import concurrent.futures
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from hashnet_jax.codes import BIT_ORDER
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.index._codes_folder import check_codes, note_unchecked, open_codes
from hashnet_jax.index._comparison import OnUnreadable
from hashnet_jax.index._manifest import IDS, MANIFEST, Manifest, read_manifest
from hashnet_jax.index._picture_file import PictureFile, digest
from hashnet_jax.index._store import Store, create_store, open_store, store_exists
from hashnet_jax.index._store_manifest import StoreManifest
from hashnet_jax.index._store_rows import make_rows

_ROWS_PER_TRANSACTION = 4096
# A file state that matches no picture, so that the next update encodes the picture again.
_UNKNOWN = PictureFile(-1, 0, bytes(32))


def import_codes_folder(
    folder: str | os.PathLike[str],
    uri: str | os.PathLike[str],
    *,
    on_unreadable: OnUnreadable | None = None,
) -> Store:
    """Imports a codes folder into a store, without encoding its pictures again.

    A codes folder does not record the state of the picture files. If `hashnet encode` of an earlier
    version wrote the folder, a picture file that is older than its manifest is assumed to be
    unchanged since it was encoded. Other pictures, and all pictures in an exported folder, are
    imported too, but the next update encodes them again, or deletes their rows if the files are
    gone.

    Args:
      folder: a codes folder, see :func:`hashnet_jax.index.export_codes_folder`.
      uri: location of the store, which is created if it does not exist.
      on_unreadable: called with the path and the reason for each picture that is not imported
        because its path is not UTF-8.

    Returns:
      The store.

    Raises:
      FileNotFoundError: if there are no codes in ``folder``.
      ValueError: if the codes are damaged, or the codes in the store were computed by a different
        network.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_codes(folder, manifest)
    note_unchecked(folder, manifest)
    store = _open_or_create(uri, manifest, folder)
    # An export, which has no batch size, is younger than the codes that it contains.
    is_exported = manifest.batch_size is None
    written_ns = (folder / MANIFEST).stat().st_mtime_ns
    codes = open_codes(folder, manifest)
    with (
        Progress(manifest.number, "importing", "code") as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for start, paths in _blocks(folder):
            valid = [i for i, path in enumerate(paths) if _is_utf8(path)]
            for path in paths:
                if not _is_utf8(path) and on_unreadable is not None:
                    on_unreadable(path, "the path is not UTF-8; rename the file or folder")
            ids = [paths[i] for i in valid]
            if is_exported:
                files = [_UNKNOWN] * len(ids)
            else:
                files = [_trusted(file, written_ns) for file in pool.map(digest, ids)]
            rows = make_rows(
                store.manifest,
                ids=ids,
                codes=codes[[start + i for i in valid]],
                sizes=[file.size for file in files],
                mtimes_ns=[file.mtime_ns for file in files],
                sha256s=[file.sha256 for file in files],
            )
            store.upsert(rows)
            progress.update(len(paths))
    store.compact()
    return store


def _open_or_create(uri: str | os.PathLike[str], codes: Manifest, folder: Path) -> Store:
    manifest = StoreManifest(
        bits=codes.bits,
        bit_order=BIT_ORDER,
        sign_of_zero=codes.sign_of_zero,
        weights_sha256=codes.weights_sha256,
        backbone=codes.backbone,
        preprocessing=codes.preprocessing,
    )
    if not store_exists(uri):
        return create_store(uri, manifest)
    store = open_store(uri)
    if store.manifest.weights_sha256 != manifest.weights_sha256:
        raise ValueError(
            f"the codes in {folder} and those in {store.uri} were computed by different networks. "
            f"Import {folder} into a new store."
        )
    return store


def _blocks(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the paths in blocks, each with the index of its first path."""
    with open(folder / IDS, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for start in itertools.count(0, _ROWS_PER_TRANSACTION):
            lines = list(itertools.islice(file, _ROWS_PER_TRANSACTION))
            if not lines:
                return
            yield start, [line.removesuffix("\n") for line in lines]


def _trusted(file: PictureFile | str, written_ns: int) -> PictureFile:
    """Returns a file's state, or ``_UNKNOWN`` if the file may have changed since it was encoded."""
    if isinstance(file, str) or file.mtime_ns >= written_ns:
        return _UNKNOWN
    return file


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
