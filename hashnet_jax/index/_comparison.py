"""Compares the picture files on disk with the rows of a store, using little memory.

The file list and the rows are written to a private SQLite database. SQLite keeps a small database
in memory, and a larger one in a temporary file, which it deletes. A SQL query then finds the
differences.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from hashnet_jax.data.decoder import reason
from hashnet_jax.data.pictures import is_passed_over
from hashnet_jax.index._inputs import list_pictures
from hashnet_jax.index._lance import literal
from hashnet_jax.index._store import Store

OnUnreadable = Callable[[str, str], object]
LabelOf = Callable[[str], str | None]

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE listed (id TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, label TEXT) WITHOUT ROWID;
CREATE TABLE stored (
  id TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 BLOB, label TEXT
) WITHOUT ROWID;
CREATE TABLE skipped (path TEXT PRIMARY KEY) WITHOUT ROWID;
"""

_DIFFERING = """
FROM listed LEFT JOIN stored USING (id)
WHERE stored.id IS NULL OR listed.size != stored.size OR listed.mtime_ns != stored.mtime_ns
  OR (:relabel AND listed.label IS NOT stored.label)
"""

# Up to this many pictures are looked up by path; for more, all rows of the store are read.
_MOST_NAMED = 1000


class Task(NamedTuple):
    """A picture that is new, or whose file or label has changed since it was stored.

    Attributes:
      path: path to the picture file.
      label: the label to store.
      sha256: SHA-256 recorded in the store; None if the picture is new.
      is_same_file: whether the file's size and modification time are as recorded in the store, i.e.
        only the label differs.
      is_relabelled: whether the label differs from the one in the store.
    """

    path: str
    label: str | None
    sha256: bytes | None
    is_same_file: bool
    is_relabelled: bool


class Comparison:
    """Compares the picture files on disk with the rows of a store.

    Args:
      named: files and folders, from :func:`hashnet_jax.index.expand`.
      label_of: function that returns the label for a path; None to leave the labels in the store as
        they are.
    """

    def __init__(self, named: Sequence[str], label_of: LabelOf | None) -> None:
        self._named, self._label_of = named, label_of
        self._database = sqlite3.connect("")
        self._database.executescript(_TABLES)

    def __enter__(self) -> "Comparison":
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def list_files(self, on_unreadable: OnUnreadable) -> int:
        """Lists the pictures on disk, and returns their number.

        Args:
          on_unreadable: called with ``(path, reason)`` for each picture that cannot be accessed,
            each folder that cannot be listed, and each picture in an unsupported format.
        """

        def skip(path: str, why: str) -> None:
            self._database.execute("INSERT OR IGNORE INTO skipped VALUES (?)", [_utf8(path)])
            if not is_passed_over(why):
                on_unreadable(path, why)

        rows = self._look_at(list_pictures(self._named, skip), skip)
        self._database.executemany("INSERT OR IGNORE INTO listed VALUES (?, ?, ?, ?)", rows)
        return self._count("FROM listed")

    def read_store(self, store: Store, *, with_gone: bool) -> None:
        """Reads the rows of the store.

        Args:
          store: the store to compare with.
          with_gone: whether :meth:`gone` will be called, which requires all rows.
        """
        where, count = None, self._count("FROM listed")
        if not with_gone and count <= _MOST_NAMED:
            ids = [literal(path) for (path,) in self._database.execute("SELECT id FROM listed")]
            where = f"id IN ({', '.join(ids)})" if ids else "false"
        columns = ["id", "size", "mtime_ns", "sha256", "label"]
        for batch in store.rows(columns, where=where):
            rows = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
            self._database.executemany("INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?, ?)", rows)

    def count_tasks(self) -> int:
        """Returns the number of pictures that :meth:`tasks` yields."""
        return self._count(_DIFFERING)

    def tasks(self) -> Iterator[Task]:
        """Yields the pictures that are new or have changed, sorted by path."""
        columns = "id, listed.label, stored.label, sha256, stored.id IS NOT NULL AND "
        columns += "listed.size = stored.size AND listed.mtime_ns = stored.mtime_ns"
        found = self._database.execute(
            f"SELECT {columns} {_DIFFERING} ORDER BY id", {"relabel": self._label_of is not None}
        )
        for path, label, old_label, sha256, is_same_file in found:
            kept = label if self._label_of is not None else old_label
            is_relabelled = sha256 is not None and kept != old_label
            yield Task(path, kept, sha256, bool(is_same_file), is_relabelled)

    def gone(self) -> Iterator[str]:
        """Yields the paths in the store whose pictures no longer exist in the given folders."""
        folders = tuple(os.path.join(path, "") for path in self._named if os.path.isdir(path))
        found = self._database.execute(
            "SELECT stored.id FROM stored LEFT JOIN listed USING (id) WHERE listed.id IS NULL"
        )
        for (path,) in found:
            if path.startswith(folders) and not (self._is_skipped(path) and _may_exist(path)):
                yield path

    def _look_at(
        self, paths: Iterable[str], skip: Callable[[str, str], None]
    ) -> Iterator[tuple[str, int, int, str | None]]:
        for path in paths:
            if _utf8(path) != path.encode("utf-8", "surrogateescape"):
                skip(path, "the path is not UTF-8; rename the file or folder")
                continue
            try:
                status = os.stat(path)
            except OSError as error:
                if os.path.lexists(path):  # otherwise it was deleted a moment ago
                    skip(path, reason(error))
                continue
            label = self._label_of(path) if self._label_of is not None else None
            yield path, status.st_size, status.st_mtime_ns, label

    def _is_skipped(self, path: str) -> bool:
        """Returns whether the path, or a folder that contains it, was skipped."""
        while True:
            found = self._count("FROM skipped WHERE path = :path", path=_utf8(path))
            parent = os.path.dirname(path)
            if found or parent == path:
                return bool(found)
            path = parent

    def _count(self, query: str, **values: bytes) -> int:
        values_of_all = {"relabel": self._label_of is not None, **values}
        return self._database.execute(f"SELECT COUNT(*) {query}", values_of_all).fetchone()[0]


def _may_exist(path: str) -> bool:
    """Returns whether a file exists; also True if this cannot be determined."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _utf8(path: str) -> bytes:
    """Returns a path as UTF-8, with ``?`` in place of invalid bytes."""
    return path.encode("utf-8", "replace")
