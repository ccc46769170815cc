"""Brings a store up to date with the pictures on disk."""

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hashnet_jax.distributed.progress import Progress
from hashnet_jax.index._changes import Changes
from hashnet_jax.index._comparison import Comparison, LabelOf, OnUnreadable, Task
from hashnet_jax.index._engine import Engine, LocalEngine
from hashnet_jax.index._inputs import expand
from hashnet_jax.index._lance import literal
from hashnet_jax.index._picture_file import PictureFile, digest
from hashnet_jax.index._row_writer import RowWriter
from hashnet_jax.index._store import Store
from hashnet_jax.index._store_manifest import check_same_network

NEW, CHANGED, GONE, UNREADABLE = "new", "changed", "gone", "unreadable"
RELABELLED = "relabelled"
OnChange = Callable[[str, str], object]
# See Progress.note.
Note = Callable[[Callable[[str], object]], Callable[[str], object]]

# Number of possibly changed files to hash at a time, in several threads.
_FILES_PER_BLOCK = 256
_IDS_PER_DELETE = 1000


def update_store(
    store: Store,
    run: str | Path,
    pictures: Iterable[str | os.PathLike[str]],
    *,
    engine: Engine | None = None,
    label_of: LabelOf | None = None,
    dry_run: bool = False,
    on_change: OnChange | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> Changes:
    """Encodes new and changed pictures, and deletes the rows of pictures that are gone.

    A picture counts as unchanged if its size and modification time, or else its SHA-256, match
    those in the store. A picture is gone if it was in one of the folders in ``pictures`` and is no
    longer there; pictures elsewhere stay in the store. Every update tries unreadable pictures
    again, because permissions, disks and decoders can change while the file stays the same.

    The store is written in transactions. To continue after an interruption, repeat the call. Two
    updates may run at the same time; the result is as if they had run one after the other.

    Args:
      store: the store to update.
      run: run folder that contains `model.npz`.
      pictures: picture files, folders and globs.
      engine: encodes the pictures; None for a :class:`hashnet_jax.index.LocalEngine` with default
        settings.
      label_of: function that returns the label for a path, or None for no label. If ``label_of`` is
        None, pictures keep the labels that they have in the store.
      dry_run: whether to only determine what would change. Nothing is decoded, so pictures that
        turn out to be unreadable count as new or changed.
      on_change: called for each change, with "new", "changed", "gone" or "relabelled", and the path
        of the picture.
      on_unreadable: called for each unreadable picture or folder, with the path and the reason.

    Returns:
      The number of changes of each kind.

    Raises:
      FileNotFoundError: if there is no network in ``run``, or an entry of ``pictures`` matches
        nothing.
      ValueError: if the codes in the store were computed by a different network, or the folders in
        ``pictures`` contain no pictures, although the store has pictures from them.
    """
    update = _Update(store, run, engine or LocalEngine(), on_change, on_unreadable)
    with Comparison(expand(pictures), label_of) as comparison:
        listed = comparison.list_files(update.skip)
        comparison.read_store(store, with_gone=True)
        if not listed:
            _check_not_all_gone(comparison)
        update.delete(comparison.gone(), dry_run=dry_run)
        update.encode(comparison, dry_run=dry_run)
    return update.changes()


def add_pictures(
    store: Store,
    run: str | Path,
    pictures: Iterable[str | os.PathLike[str]],
    *,
    engine: Engine | None = None,
    label_of: LabelOf | None = None,
    on_change: OnChange | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> Changes:
    """Encodes new and changed pictures, but keeps the rows of pictures that are no longer on disk.

    See :func:`update_store` for the arguments, the result and the errors.
    """
    update = _Update(store, run, engine or LocalEngine(), on_change, on_unreadable)
    with Comparison(expand(pictures), label_of) as comparison:
        comparison.list_files(update.skip)
        comparison.read_store(store, with_gone=False)
        update.encode(comparison, dry_run=False)
    return update.changes()


def remove_pictures(store: Store, pictures: Iterable[str | os.PathLike[str]]) -> dict[str, int]:
    """Deletes pictures from a store. The files are not touched and need not exist.

    Args:
      store: the store to update.
      pictures: paths to pictures or folders; a folder stands for all pictures in it.

    Returns:
      A dict that maps the absolute path of each entry of ``pictures`` to the number of pictures
      that were deleted for it.
    """
    deleted = {}
    for named in pictures:
        path = os.path.abspath(os.path.expanduser(os.fspath(named)))
        inside = f"starts_with(id, {literal(os.path.join(path, ''))})"
        deleted[path] = store.delete_where(f"id = {literal(path)} OR {inside}")
    if any(deleted.values()):
        store.tidy()
    return deleted


def _check_not_all_gone(comparison: Comparison) -> None:
    """Raises a ValueError if all stored pictures are gone: perhaps a disk is not mounted."""
    count = sum(1 for _ in comparison.gone())
    if count:
        raise ValueError(
            f"`pictures` must contain pictures, but none of the {count:,} pictures that the store "
            f"has from these folders is left. If a disk is not mounted, mount it. If the pictures "
            f"were deleted on purpose, delete them from the store with `hashnet index remove`."
        )


class _Update:
    """An update in progress. See :func:`update_store` for the arguments."""

    def __init__(
        self,
        store: Store,
        run: str | Path,
        engine: Engine,
        on_change: OnChange | None,
        on_unreadable: OnUnreadable | None,
    ) -> None:
        check_same_network(store.manifest, store.uri, run)
        self._store, self._run, self._engine = store, run, engine
        self._on_change, self._on_unreadable = on_change, on_unreadable
        self._counts = collections.Counter[str]()

    def changes(self) -> Changes:
        """Returns the number of changes of each kind so far."""
        return Changes(**self._counts)

    def skip(self, path: str, reason: str, note: Note = lambda say: say) -> None:
        """Counts and reports a picture or folder that cannot be read."""
        self._counts[UNREADABLE] += 1
        report = self._on_unreadable
        if report is not None:
            note(lambda line: report(path, line))(reason)

    def delete(self, gone: Iterator[str], *, dry_run: bool) -> None:
        """Deletes the rows of pictures that are no longer on disk."""
        while ids := list(itertools.islice(gone, _IDS_PER_DELETE)):
            if not dry_run:
                self._store.delete(ids)
            for path in ids:
                self._count(GONE, path)

    def encode(self, comparison: Comparison, *, dry_run: bool) -> None:
        """Encodes the pictures that are new or have changed."""
        total = comparison.count_tasks()
        if dry_run:
            for task in self._differing(comparison.tasks(), self._count_relabelled):
                self._count(CHANGED if task.sha256 else NEW, task.path)
        elif total:
            with Progress(total, "indexing", "picture") as progress:
                self._encode(comparison.tasks(), progress)
        if not dry_run and (total or self._counts[GONE]):
            self._store.tidy()

    def _encode(self, tasks: Iterator[Task], progress: Progress) -> None:
        writer, waiting = RowWriter(self._store), dict[str, Task]()

        def renew(task: Task, file: PictureFile | None) -> None:
            writer.renew(task, file)
            self._count_relabelled(task, file)
            progress.update()

        def paths() -> Iterator[str]:
            for task in self._differing(tasks, renew):
                waiting[task.path] = task
                yield task.path

        for batch, files, codes in self._engine(self._run, paths()):
            rows = []
            for given, file in zip(batch, files, strict=True):
                task = waiting.pop(path := os.fspath(given))
                if isinstance(file, PictureFile):
                    rows.append((task, file))
                    self._count(CHANGED if task.sha256 else NEW, path)
                    continue
                self.skip(path, file, progress.note)
                if task.sha256 is not None:
                    writer.drop(path)
            writer.put(rows, codes)
            progress.update(len(batch))
        writer.write()

    def _differing(
        self, tasks: Iterator[Task], renew: Callable[[Task, PictureFile | None], None]
    ) -> Iterator[Task]:
        """Yields the tasks whose pictures are new or changed, and calls ``renew`` for the others.

        A file is hashed if its size or modification time has changed, so that a file that was only
        touched is not encoded again.
        """
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            while block := list(itertools.islice(tasks, _FILES_PER_BLOCK)):
                files = pool.map(_state, block)
                for task, file in zip(block, files, strict=True):
                    if task.is_same_file:
                        renew(task, None)
                    elif isinstance(file, PictureFile) and file.sha256 == task.sha256:
                        renew(task, file)
                    else:
                        yield task

    def _count_relabelled(self, task: Task, file: PictureFile | None) -> None:
        if task.is_relabelled:
            self._count(RELABELLED, task.path)

    def _count(self, kind: str, path: str) -> None:
        self._counts[kind] += 1
        if self._on_change is not None:
            self._on_change(kind, path)


def _state(task: Task) -> PictureFile | str | None:
    """Hashes a stored picture's file if its size or modification time changed, or returns None."""
    return None if task.sha256 is None or task.is_same_file else digest(task.path)
