"""A store of codes that can be updated: a LanceDB table in a folder or in object storage.

Changes are made in transactions. A read sees the version that was newest when the read started.
If a process is killed, its last transaction is applied either completely or not at all.
"""

import datetime
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashnet_jax.index._filter import check_filter
from hashnet_jax.index._lance import connect, damaged, faults_named, is_local, literal
from hashnet_jax.index._snapshot import Snapshot
from hashnet_jax.index._store_manifest import StoreManifest
from hashnet_jax.index._store_rows import (
    MANIFEST_KEY,
    STORE_NUMBER_KEY,
    bound_to,
    codes_of,
    damaged_rows,
    schema_of,
)
from hashnet_jax.index._table_folder import (
    HINT,
    TABLE,
    check_regular_files,
    creation_was_interrupted,
    least_version,
)

ROWS_PER_BATCH = 8192
_CHECK_COLUMNS = ("id", "code", "label", "check")
# The files of older versions are deleted, so a search that takes longer than this fails.
KEPT_VERSIONS = datetime.timedelta(hours=1)
MOST_VERSIONS = 20
ROWS_FOR_INDEX = 2**20
# Keeps filters short enough to parse.
_IDS_PER_FILTER = 1000

# These are in addition to a few retries by LanceDB itself when concurrent changes conflict.
_ATTEMPTS, _SECONDS_OF_FIRST_WAIT = 6, 0.2

T = TypeVar("T")


class Store:
    """A store of picture codes, keyed by path; see :func:`create_store`, :func:`open_store`.

    Attributes:
      uri: store folder or location in object storage.
      manifest: describes the network that computed the codes, and how the codes are packed.
    """

    def __init__(self, uri: str, table: Any, manifest: StoreManifest) -> None:
        self.uri, self.manifest, self._table = uri, manifest, table
        number = (table.schema.metadata or {}).get(STORE_NUMBER_KEY)
        self._number = None if number is None else int(number)

    @property
    def table(self) -> Any:
        """The underlying LanceDB table, for LanceDB's own search and indexes."""
        return self._table

    @property
    def version(self) -> int:
        """The number of the store's newest version; increases with every change by any process."""
        with faults_named(self.uri):
            self._table.checkout_latest()
            return self._table.version

    def __len__(self) -> int:
        return self.count()

    def count(self, where: str | None = None) -> int:
        """Returns the number of rows that match a SQL filter, or of all rows without a filter."""
        with faults_named(self.uri):
            self._table.checkout_latest()
            return self._table.count_rows(where)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """Returns the schema for the given columns, with the manifest in its metadata."""
        whole = schema_of(self.manifest)
        return pa.schema([whole.field(name) for name in columns], metadata=whole.metadata)

    def upsert(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Inserts rows, replacing existing rows that have the same ids, in one transaction.

        Args:
          rows: rows from :func:`hashnet_jax.index.make_rows`, with distinct ids.

        Raises:
          ValueError: if the columns of ``rows`` differ from the store's columns.
          OSError: if the store cannot be written.
        """
        if not rows.schema.equals(schema_of(self.manifest), check_metadata=False):
            raise ValueError("`rows` must have the columns that make_rows returns for this store.")
        if not len(rows):
            return

        def merge() -> None:
            builder = self._table.merge_insert("id")
            builder.when_matched_update_all().when_not_matched_insert_all().execute(bound)

        bound = rows if self._number is None else bound_to(rows, self._number)
        self._change(merge)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes the rows with the given ids; ids that are not in the store are ignored.

        Args:
          ids: any number of ids, deleted in transactions of up to 1,000 rows each.
        """
        for start in range(0, len(ids), _IDS_PER_FILTER):
            some = ", ".join(map(literal, ids[start : start + _IDS_PER_FILTER]))
            self.delete_where(f"id IN ({some})")

    def delete_where(self, where: str) -> int:
        """Deletes the rows that match a SQL filter, and returns their number."""
        return self._change(lambda: self._table.delete(where).num_deleted_rows)

    def compact(self) -> None:
        """Merges small files, and deletes versions of the store that are older than an hour.

        If another process is writing at the same time, nothing is done. A large store also gets an
        index on its ids. Without the index, LanceDB would hold all ids in memory during an upsert.
        """
        try:
            with faults_named(self.uri):
                self._table.checkout_latest()
                self._table.optimize(cleanup_older_than=KEPT_VERSIONS)
                if self._table.count_rows() >= ROWS_FOR_INDEX and not self._has_index_of_ids():
                    self._table.create_index("id", config=_b_tree())
        except BlockingIOError:
            pass  # the process that is writing will compact the store later

    def tidy(self) -> None:
        """Compacts the store if it has more than 20 versions, to keep small changes fast."""
        with faults_named(self.uri):
            is_due = len(self._table.list_versions()) > MOST_VERSIONS
        if is_due:
            self.compact()

    def rows(self, columns: Sequence[str], *, where: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yields the rows of the newest version in batches, in no particular order.

        Every row is checked against its checksum, unless only the ids are read.

        Args:
          columns: names of the columns to read, see :mod:`hashnet_jax.index`.
          where: a SQL filter, e.g. ``"label = 'cat'"``; None for all rows.

        Yields:
          Batches of rows with the given columns.

        Raises:
          DamagedFile: a ValueError, if a row does not match its checksum.
        """
        with faults_named(self.uri):
            self._table.checkout_latest()
        is_checked = list(columns) != ["id"]
        for batch in self._batches(schema_of(self.manifest).names if is_checked else ["id"], where):
            if is_checked:
                self.check_rows(batch)
            yield batch.select(list(columns))

    def check_rows(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Checks rows of the table against their checksums.

        Args:
          rows: rows with all columns, or with at least the columns id, code, label and check.

        Raises:
          DamagedFile: a ValueError, if a row does not match its checksum.
        """
        if damaged_rows(rows, self.manifest.code_bytes, self._number):
            raise damaged(self.uri, "its rows do not match their checksums")

    def snapshot(self, *, where: str | None = None) -> Snapshot:
        """Reads the newest version into memory, sorted by id, and checks every row.

        Args:
          where: a SQL filter, e.g. ``"label = 'cat'"``; None for all rows.

        Returns:
          The snapshot. A row with a 64-bit code and a path of 40 characters takes about 60 bytes.

        Raises:
          DamagedFile: a ValueError, if a row does not match its checksum, or a path occurs twice.
        """
        with faults_named(self.uri):
            self._table.checkout_latest()
            version = self._table.version
        batches = []
        for batch in self._batches(_CHECK_COLUMNS, where):
            self.check_rows(batch)  # all rows at once would take 1.4 kB of memory each
            batches.append(batch)
        schema = self.schema(_CHECK_COLUMNS).remove_metadata()
        table = pa.Table.from_batches(batches, schema).combine_chunks().sort_by("id")
        ids, labels = (table[name].combine_chunks() for name in ("id", "label"))
        if pc.call_function("equal", [ids[1:], ids[:-1]]).true_count:
            raise damaged(self.uri, "it contains a path twice")
        codes = np.ascontiguousarray(codes_of(table["code"], self.manifest.code_bytes))
        return Snapshot(self.manifest, version, ids, codes, labels)

    def _change(self, change: Callable[[], T]) -> T:
        """Makes a change; retries after a random delay if it conflicts with concurrent changes."""
        for attempt in range(_ATTEMPTS):
            try:
                with faults_named(self.uri):
                    return change()
            except BlockingIOError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 2**attempt * _SECONDS_OF_FIRST_WAIT))
        raise AssertionError("unreachable")

    def _batches(self, columns: Sequence[str], where: str | None) -> Iterator[pa.RecordBatch]:
        where = None if where is None else self.check_filter(where)
        with faults_named(self.uri):
            query = self._table.search().select(list(columns)).limit(None)
            query = query if where is None else query.where(where)
            yield from query.to_batches(ROWS_PER_BATCH)

    def _has_index_of_ids(self) -> bool:
        return any(list(index.columns) == ["id"] for index in self._table.list_indices())

    def check_filter(self, where: str) -> str:
        """Returns a SQL filter in parentheses; raises a ValueError if the filter is invalid."""
        return check_filter(self._table, self.uri, where)


def create_store(uri: str | os.PathLike[str], manifest: StoreManifest) -> Store:
    """Creates an empty store.

    Args:
      uri: a folder, which must be new or empty, or a location in object storage, e.g.
        "s3://bucket/pictures".
      manifest: describes the codes to store, from :meth:`hashnet_jax.index.StoreManifest.of_run`.

    Returns:
      The store.

    Raises:
      FileExistsError: if the store already exists, or ``uri`` is a file or a non-empty folder. A
        folder in which an earlier call was interrupted counts as empty.
    """
    uri = os.fspath(uri)
    if is_local(uri) and os.path.lexists(uri):
        if not os.path.isdir(uri):
            raise FileExistsError(f"`store` must be a folder, but {uri} is a file.")
        if (content := os.listdir(uri)) and not creation_was_interrupted(uri, TABLE):
            what = "already contains a store" if _has_table(uri) else f"contains {min(content)!r}"
            raise FileExistsError(f"`store` must be a new or empty folder, but {uri} {what}.")
    schema = schema_of(manifest)
    number = str(secrets.randbits(64))
    schema = schema.with_metadata({**schema.metadata, STORE_NUMBER_KEY: number})
    with faults_named(uri):
        table = connect(uri).create_table(TABLE, schema=schema, mode="create")
    return Store(uri, table, manifest)


def open_store(uri: str | os.PathLike[str]) -> Store:
    """Opens a store.

    Args:
      uri: store folder or location in object storage.

    Returns:
      The store.

    Raises:
      FileNotFoundError: if there is no store at ``uri``.
      DamagedFile: a ValueError, if the table at ``uri`` is damaged or is not a store's table.
    """
    uri = os.fspath(uri)
    if not store_exists(uri):
        raise FileNotFoundError(
            f"no store found in {uri}. Create it with `hashnet index update`, or choose another "
            "`store`."
        )
    check_regular_files(uri)
    least = least_version(uri, TABLE)  # read first, because another process may be writing
    with faults_named(uri):
        table = connect(uri).open_table(TABLE)
        if table.version < least:
            raise ValueError(
                f"{HINT} names version {least}, but the newest version is {table.version}"
            )
        schema = table.schema
        text = (schema.metadata or {}).get(MANIFEST_KEY)
        if text is None:
            raise ValueError("its table has no manifest")
        manifest = StoreManifest.from_json(text.decode())
        if not schema.equals(schema_of(manifest), check_metadata=False):
            raise ValueError("its columns do not match its manifest")
        return Store(uri, table, manifest)


def _b_tree() -> Any:
    from lancedb.index import BTree

    return BTree()


def store_exists(uri: str | os.PathLike[str]) -> bool:
    """Returns whether there is a store at ``uri``."""
    uri = os.fspath(uri)
    if is_local(uri):
        return _has_table(uri)
    with faults_named(uri):
        return TABLE in connect(uri)


def _has_table(folder: str) -> bool:
    is_folder = (Path(folder) / f"{TABLE}.lance").is_dir()
    return is_folder and not creation_was_interrupted(folder, TABLE)
