"""Collects the rows of an update, and writes them in a few transactions."""

import time

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.index._comparison import Task
from hashnet_jax.index._lance import literal
from hashnet_jax.index._picture_file import PictureFile
from hashnet_jax.index._store import Store
from hashnet_jax.index._store_rows import codes_of, make_rows

# If an update is killed, it loses at most this many pictures or this many seconds of work.
ROWS_PER_TRANSACTION = 65_536
SECONDS_PER_TRANSACTION = 30.0
# Each transaction adds a file or two, and rewrites the list of all files.
TRANSACTIONS_PER_COMPACTION = 64
# Rows whose code is unchanged are first read from the store.
_RENEWALS_PER_TRANSACTION = 1000


class RowWriter:
    """Collects rows and writes them to a store.

    Args:
      store: the store to write to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: list[tuple[Task, PictureFile]] = []
        self._codes: list[UInt8[np.ndarray, "n bytes"]] = []
        self._renewed: dict[str, tuple[Task, PictureFile | None]] = {}
        self._stale: list[str] = []
        self._transactions = 0
        self._last_write = time.monotonic()

    def put(
        self, rows: list[tuple[Task, PictureFile]], codes: UInt8[np.ndarray, "n bytes"]
    ) -> None:
        """Adds rows with new codes, uint8 ``[n, ceil(K/8)]``."""
        if rows:
            self._rows += rows
            self._codes.append(codes)
            self._write_if_due()

    def renew(self, task: Task, file: PictureFile | None) -> None:
        """Updates a row's label and, unless ``file`` is None, its file state, but not its code."""
        self._renewed[task.path] = task, file
        if len(self._renewed) >= _RENEWALS_PER_TRANSACTION:
            self._write_renewed()

    def drop(self, path: str) -> None:
        """Deletes the row of a picture that can no longer be read."""
        self._stale.append(path)
        self._write_if_due()

    def write(self) -> None:
        """Writes all pending changes."""
        if self._rows:
            self._upsert(self._rows, np.concatenate(self._codes))
            self._rows, self._codes = [], []
        self._write_renewed()
        if self._stale:
            self._store.delete(self._stale)
            self._stale = []
            self._count_transaction()
        self._last_write = time.monotonic()

    def _write_if_due(self) -> None:
        is_late = time.monotonic() - self._last_write > SECONDS_PER_TRANSACTION
        if is_late or len(self._rows) + len(self._stale) >= ROWS_PER_TRANSACTION:
            self.write()

    def _write_renewed(self) -> None:
        if not self._renewed:
            return
        where = f"id IN ({', '.join(map(literal, self._renewed))})"
        columns = ["id", "code", "size", "mtime_ns", "sha256"]
        for batch in self._store.rows(columns, where=where):
            stored = batch.select(["size", "mtime_ns", "sha256"]).to_pylist()
            rows = []
            for path, row in zip(batch["id"].to_pylist(), stored, strict=True):
                task, file = self._renewed[path]
                rows.append((task, PictureFile(**row) if file is None else file))
            self._upsert(rows, codes_of(batch["code"], self._store.manifest.code_bytes))
        self._renewed = {}

    def _upsert(
        self, rows: list[tuple[Task, PictureFile]], codes: UInt8[np.ndarray, "n bytes"]
    ) -> None:
        table = make_rows(
            self._store.manifest,
            ids=[task.path for task, _ in rows],
            codes=codes,
            sizes=[file.size for _, file in rows],
            mtimes_ns=[file.mtime_ns for _, file in rows],
            sha256s=[file.sha256 for _, file in rows],
            labels=[task.label for task, _ in rows],
        )
        self._store.upsert(table)
        self._count_transaction()

    def _count_transaction(self) -> None:
        self._transactions += 1
        if self._transactions % TRANSACTIONS_PER_COMPACTION == 0:
            self._store.compact()
