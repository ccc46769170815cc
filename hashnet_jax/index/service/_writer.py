"""Adds pictures to the store, and removes pictures from it."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.files import make_folder, write_whole
from hashnet_jax.index._lance import damaged, literal
from hashnet_jax.index._store import Store, open_store
from hashnet_jax.index._store_manifest import StoreManifest
from hashnet_jax.index._store_rows import make_rows
from hashnet_jax.index.service._limits import Refused

# The name of an uploaded picture is the start of the SHA-256 of its content.
_DIGITS = 32
_UPLOADED = re.compile(rf"[0-9a-f]{{{_DIGITS}}}\.[a-z0-9]+")


def reopen(uri: str, manifest: StoreManifest) -> Store:
    """Reopens a store, and checks that its codes are still from the same network.

    Raises:
      FileNotFoundError: if the store is missing.
      DamagedFile: a ValueError, if the store is damaged, or its codes are from another network.
    """
    store = open_store(uri)
    if store.manifest.weights_sha256 != manifest.weights_sha256:
        raise damaged(uri, "it was replaced with a store from another network")
    return store


class Writer:
    """Writes to a store. Not thread-safe: use a writer in only one thread at a time.

    Args:
      uri: store folder or location in object storage.
      manifest: the manifest of the store.
      uploads: folder for uploaded pictures; None to refuse uploads.
    """

    def __init__(self, uri: str, manifest: StoreManifest, uploads: Path | None) -> None:
        self._uri, self._manifest = uri, manifest
        # The ids of all pictures are absolute paths.
        self._uploads = None if uploads is None else Path(os.path.abspath(uploads))

    def add(
        self, data: bytes, suffix: str, code: UInt8[np.ndarray, " bytes"], label: str | None
    ) -> tuple[str, int]:
        """Saves a picture in the upload folder, and adds it to the store.

        Returns:
          ``(id, version)``. The id is the path to the saved file. The file name depends only on the
          content, so adding a picture again replaces its row.

        Raises:
          Refused: with status 403 if there is no upload folder.
        """
        if self._uploads is None:
            raise Refused(403, "The service has no folder for uploaded pictures.")
        store, digest = reopen(self._uri, self._manifest), hashlib.sha256(data)
        path = self._uploads / f"{digest.hexdigest()[:_DIGITS]}{suffix}"
        make_folder(self._uploads)
        write_whole(path, lambda file: file.write(data))
        status = path.stat()
        rows = make_rows(
            store.manifest,
            ids=[os.fspath(path)],
            codes=code[None],
            sizes=[status.st_size],
            mtimes_ns=[status.st_mtime_ns],
            sha256s=[digest.digest()],
            labels=[label],
        )
        store.upsert(rows)
        return os.fspath(path), store.version

    def remove(self, picture: str) -> int:
        """Removes a picture from the store, and deletes its file if it was uploaded.

        Returns:
          The new version of the store.

        Raises:
          Refused: with status 404 if the picture is not in the store.
        """
        store = reopen(self._uri, self._manifest)
        if not _contains(store, picture):
            raise Refused(404, "No picture in the index has this id.")
        store.delete([picture])
        path = Path(picture)
        if path.parent == self._uploads and _UPLOADED.fullmatch(path.name):
            path.unlink(missing_ok=True)
        return store.version


def _contains(store: Store, picture: str) -> bool:
    return store.count(f"id = {literal(picture)}") > 0
