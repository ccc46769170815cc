"""Finds groups of pictures with similar codes, and the near copies among them."""

import collections
import concurrent.futures
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt8

from hashnet_jax.data.decoder import UnreadablePicture
from hashnet_jax.data.perceptual import Look, import_imagehash, look_at
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.index._components import components
from hashnet_jax.index._popcount import distances_from, words_of
from hashnet_jax.index._snapshot import Snapshot

# Pictures count as near copies if their 64-bit perceptual hashes differ in at most this many bits.
# See docs/search_store.md for how often copies differ in more bits, and other pictures in fewer.
COPY_BITS = 8

# Pictures are processed in blocks, so that an interrupt waits only for the current block.
_PICTURES_PER_BLOCK = 256


class DuplicatePicture(NamedTuple):
    """A picture in a group.

    Attributes:
      id: path to the picture.
      label: label of the picture, or None.
      distance: Hamming distance between the codes of this picture and the group's first picture.
      copies: index, from 1, of the group's set of near copies that contains this picture; None if
        no other picture in the group is a near copy.
      pixels: number of bits, out of 64, in which the perceptual hashes of this picture and the
        first picture in its set of near copies differ; None if ``copies`` is None.
      same_file: whether another file in its set of near copies has the same bytes.
      unreadable: why the file cannot be read, e.g. because it is missing; None if it can be read.
    """

    id: str
    label: str | None
    distance: int
    copies: int | None = None
    pixels: int | None = None
    same_file: bool = False
    unreadable: str | None = None


def find_duplicates(snapshot: Snapshot, radius: int) -> list[list[DuplicatePicture]]:
    """Groups the pictures in a store by their codes, and finds near copies in each group.

    A group is a connected component: any two of its pictures are connected by a chain of pictures,
    each within the radius of the next. A picture without a neighbour belongs to no group. Two
    codes are compared only if at least one of their R + 1 parts is equal; in the worst case, all
    pairs are compared. Memory use is O(N).

    Pictures with similar codes have similar content, according to the network. They are near copies
    (e.g. one photograph in two sizes) if their perceptual hashes are also similar, i.e. if they are
    connected by a chain of pictures, each of which differs from the next in at most 8 of the 64
    hash bits.

    Args:
      snapshot: a snapshot of the store, from :meth:`hashnet_jax.index.Store.snapshot`.
      radius: R >= 0, the maximum distance between linked codes.

    Returns:
      The groups, in decreasing order of the number of near copies, with ties broken by id. In a
      group, the sets of near copies come first, then the other pictures, then those that cannot be
      read.

    Raises:
      ValueError: if ``radius`` < 0.
      ModuleNotFoundError: if ImageHash is not installed.
    """
    if radius < 0:
        raise ValueError(f"`radius` must be >= 0, got {radius}.")
    import_imagehash()  # Imported before the codes are compared, to fail early if it is missing.
    groups = _rows_of_groups(snapshot, radius)
    ids = snapshot.paths(np.concatenate(groups).tolist() if groups else [])
    looks = iter(_looks(ids))
    found = [_group(snapshot, rows, [next(looks) for _ in rows]) for rows in groups]
    return sorted(found, key=_copies_first)


def _rows_of_groups(snapshot: Snapshot, radius: int) -> list[Int[np.ndarray, " n"]]:
    """Returns the row indices of each group of at least two pictures."""
    if not len(snapshot):
        return []
    label = components(snapshot.codes, snapshot.manifest.bits, radius)
    return [rows for rows in rows_by_label(label) if len(rows) > 1]


def rows_by_label(label: Int[np.ndarray, " N"]) -> list[Int[np.ndarray, " n"]]:
    """Groups row indices by label, in the order in which the labels first occur."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order])) + 1
    return sorted(np.split(order, starts), key=lambda rows: int(rows[0]))


def _looks(ids: Sequence[str]) -> list[Look | str]:
    """Hashes the pictures in parallel; for unreadable ones, returns the reason instead."""
    looks: list[Look | str] = []
    if not ids:
        return looks
    with (
        Progress(len(ids), "reading pictures", "picture") as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for start in range(0, len(ids), _PICTURES_PER_BLOCK):
            looks += pool.map(_look, ids[start : start + _PICTURES_PER_BLOCK])
            progress.update(len(looks) - start)
    return looks


def _look(path: str) -> Look | str:
    try:
        return look_at(path)
    except UnreadablePicture as error:
        return str(error)


def _group(
    snapshot: Snapshot, rows: Int[np.ndarray, " n"], looks: Sequence[Look | str]
) -> list[DuplicatePicture]:
    labels = snapshot.labels.take(pa.array(rows)).to_pylist()
    made = map(DuplicatePicture, snapshot.paths(rows.tolist()), labels, [0] * len(rows))
    pictures = list(made)
    for number, members in enumerate(_sets_of_copies(looks), 1):
        for at, picture in _marked(pictures, looks, members, number):
            pictures[at] = picture
    for at, look in enumerate(looks):
        if isinstance(look, str):
            pictures[at] = pictures[at]._replace(unreadable=look)
    order = sorted(range(len(rows)), key=lambda at: _sets_first(pictures[at]))
    words = words_of(snapshot.codes[rows[order]])
    distances = distances_from(words[0], words).tolist()
    return [
        pictures[at]._replace(distance=distance)
        for at, distance in zip(order, distances, strict=True)
    ]


def _sets_of_copies(looks: Sequence[Look | str]) -> Iterator[list[int]]:
    """Yields the positions of the pictures in each set of near copies."""
    places = [at for at, look in enumerate(looks) if not isinstance(look, str)]
    if len(places) < 2:
        return
    hashes = _hashes(looks)
    for members in rows_by_label(components(hashes, 8 * hashes.shape[1], COPY_BITS)):
        if len(members) > 1:
            yield [places[at] for at in members]


def _hashes(looks: Sequence[Look | str]) -> UInt8[np.ndarray, "n 8"]:
    return np.stack([look.phash for look in looks if not isinstance(look, str)])


def _marked(
    pictures: Sequence[DuplicatePicture],
    looks: Sequence[Look | str],
    members: Sequence[int],
    number: int,
) -> Iterator[tuple[int, DuplicatePicture]]:
    """Yields ``(index, picture)`` for each picture in a set of near copies."""
    own = [look for at in members if not isinstance(look := looks[at], str)]
    files = [look.sha256 for look in own]
    number_of = collections.Counter(files)
    words = words_of(np.stack([look.phash for look in own]))
    pixels = distances_from(words[0], words).tolist()
    for at, file, distance in zip(members, files, pixels, strict=True):
        same = number_of[file] > 1
        yield at, pictures[at]._replace(copies=number, pixels=distance, same_file=same)


def _sets_first(picture: DuplicatePicture) -> tuple[bool, int, str]:
    number = sys.maxsize if picture.copies is None else picture.copies
    return picture.unreadable is not None, number, picture.id


def _copies_first(group: Sequence[DuplicatePicture]) -> tuple[int, str]:
    copies = sum(picture.copies is not None for picture in group)
    return -copies, min(picture.id for picture in group)
