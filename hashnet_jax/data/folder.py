"""The user's own pictures: one subfolder per class, or a CSV file with paths and labels.

With ``image_root``, each direct subfolder is a class that includes all pictures nested in it.
With ``csv`` (see :mod:`hashnet_jax.data.csv_file`), paths are relative to ``image_root``, or by
default to the folder that contains the CSV file. If each picture has exactly one label, the data is
single-label, as with folders; otherwise it is multi-label, and a picture without labels is similar
to no other picture.

All pictures are decoded once at the start; unreadable ones are reported and left out, instead of
failing the run later.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int8, Int64

from hashnet_jax.data._dataset import Dataset, Options, reject_options
from hashnet_jax.data._folder_split import split_by_class, split_in_total
from hashnet_jax.data.csv_file import read_csv
from hashnet_jax.data.list_files import MAX_FAULTS_SHOWN
from hashnet_jax.data.pictures import check_pictures, find_pictures, printable
from hashnet_jax.data.sources import FileSource


@dataclasses.dataclass(frozen=True)
class _Listing:
    """Pictures found, before decoding.

    Attributes:
      place: the path given by the user, for messages.
      root: folder that names are relative to.
      labels: ``{name: labels}``, sorted by name.
      loose: names of pictures outside any subfolder.
      skipped: ``(name, reason)`` for each folder that cannot be listed.
    """

    place: str
    root: Path
    labels: dict[str, tuple[str, ...]]
    loose: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def load(options: Options) -> Dataset:
    """Loads pictures from folders named after their classes, or listed in a CSV file.

    Args:
      options: :class:`hashnet_jax.data.Options` with ``image_root`` or ``csv``. By default, a tenth
        of each class are queries, at least 1 and at most 100 (for multi-label data, a tenth of all
        pictures, at most 5,000), and all others are training images.

    Returns:
      :class:`hashnet_jax.data.Dataset` with class ids int64 ``[N]`` or multi-hot labels
      int8 ``[N, C]``. ``names`` are sorted paths relative to the root, and ``skipped`` lists the
      pictures that cannot be read.

    Raises:
      FileNotFoundError: if the folder or the CSV file is missing, or no picture is readable.
      ValueError: if no picture is in a subfolder, a line is malformed, there are fewer than two
        classes, or a class is too small.
    """
    reject_options(
        "folder", options, ("lists", "allow_overlap"), "it applies to `dataset='lists'` only"
    )
    listing = _list_pictures(options)
    names, skipped = _readable(listing)
    rows = [listing.labels[name] for name in names]
    labels, classes = _encode_labels(rows, listing.place)
    notes = [*_describe_loose(listing), *_describe_skipped(skipped)]
    if labels.ndim == 1:
        split = split_by_class(labels, classes, options)
    else:
        labelled = np.flatnonzero(labels.any(axis=1))
        split = split_in_total(labelled, options)
        if len(labelled) < len(labels):
            notes.append(f"pictures without labels, left out: {len(labels) - len(labelled):,}")
    source = FileSource([listing.root / name for name in names])
    return Dataset("folder", source, labels, classes, split, tuple(notes), names, skipped)


def _list_pictures(options: Options) -> _Listing:
    """Lists the pictures in the CSV file if one is given, else in the folder."""
    root = None if options.image_root is None else Path(options.image_root).expanduser()
    if root is not None and not root.is_dir():
        raise FileNotFoundError(
            f"`image_root` must be a folder, but there is none at {options.image_root}."
        )
    if options.csv is not None:
        file = Path(options.csv).expanduser()
        return _Listing(options.csv, file.parent if root is None else root, read_csv(file))
    if root is None:
        raise ValueError(
            "folder needs `image_root`, a folder with one subfolder per class, or a `csv` file; "
            "neither was given."
        )
    return _list_folders(root)


def _list_folders(root: Path) -> _Listing:
    """Lists the pictures in the subfolders of ``root``, one per class."""
    skipped = []

    def skip(path: str, reason: str) -> None:
        skipped.append((printable(os.path.relpath(path, root)), reason))

    found = sorted(os.path.relpath(path, root) for path in find_pictures(root, skip))
    labels = {name: (name.split(os.sep)[0],) for name in found if os.sep in name}
    loose = tuple(name for name in found if os.sep not in name)
    if loose and not labels:
        count = "1 picture" if len(loose) == 1 else f"{len(loose):,} pictures"
        raise ValueError(
            f"`image_root` must contain one subfolder per class, but {root} contains {count} "
            f"outside any subfolder (first: {printable(loose[0])}) and none inside: move them into "
            "folders named after their classes, or list them in a `csv` file."
        )
    return _Listing(str(root), root, labels, loose, tuple(skipped))


def _readable(listing: _Listing) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Returns the names of readable pictures, and ``(name, reason)`` for everything skipped."""
    reasons = check_pictures([listing.root / name for name in listing.labels])
    checked = list(zip(listing.labels, reasons, strict=True))
    names = tuple(name for name, reason in checked if reason is None)
    unreadable = ((printable(name), reason) for name, reason in checked if reason is not None)
    skipped = (*listing.skipped, *unreadable)
    if not names:
        first = f"; first: {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise FileNotFoundError(
            f"{listing.place} must contain at least one readable picture, got none "
            f"({len(skipped)} skipped{first})."
        )
    return names, skipped


def _encode_labels(
    rows: Sequence[tuple[str, ...]], place: str
) -> tuple[Int64[np.ndarray, " N"] | Int8[np.ndarray, "N C"], tuple[str, ...]]:
    """Returns labels (class ids if every picture has exactly one, else multi-hot) and classes."""
    classes = tuple(sorted({label for row in rows for label in row}))
    if len(classes) < 2:
        raise ValueError(
            f"there must be at least two classes of pictures, got {list(classes)} in {place}: give "
            "each class a subfolder of `image_root`, or labels in a `csv` file."
        )
    ids = {label: i for i, label in enumerate(classes)}
    if all(len(row) == 1 for row in rows):
        return np.array([ids[label] for (label,) in rows], np.int64), classes
    labels = np.zeros((len(rows), len(classes)), np.int8)
    for i, row in enumerate(rows):
        labels[i, [ids[label] for label in row]] = 1
    return labels, classes


def _describe_loose(listing: _Listing) -> list[str]:
    if not listing.loose:
        return []
    first = printable(listing.loose[0])
    return [f"pictures outside any subfolder, left out: {len(listing.loose):,} (first: {first})"]


def _describe_skipped(skipped: Sequence[tuple[str, str]]) -> list[str]:
    if not skipped:
        return []
    total = f"skipped {len(skipped):,} that cannot be read (full list in pictures.json)"
    return [total, *(f"skipped {name}: {reason}" for name, reason in skipped[:MAX_FAULTS_SHOWN])]
