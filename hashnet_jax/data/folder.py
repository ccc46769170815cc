"""The user's own pictures: one subfolder per class, or a CSV file with paths and labels.

With ``image_root``, each direct subfolder is a class, which includes the pictures in all nested
folders. With ``csv`` (see :mod:`hashnet_jax.data.csv_file`), paths are relative to ``image_root``,
or by default to the folder that contains the CSV file. If each picture has exactly one label, the
data is single-label, as with folders; otherwise it is multi-label, and a picture without labels
is not similar to any other picture.

All pictures are decoded once at the start, and unreadable ones are reported and left out, so that
they cannot make the run fail later.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int8, Int64

from hashnet_jax.data._dataset import Dataset, Options, reject_options
from hashnet_jax.data._folder_split import split_by_class, split_in_total
from hashnet_jax.data._listing import (
    Listing,
    describe_lost_classes,
    describe_passed_over,
    describe_unreadable,
    list_pictures,
    unreadable_pictures,
)
from hashnet_jax.data.sources import FileSource
from hashnet_jax.data.splits import Split
from hashnet_jax.data.unseen_classes import describe_unseen


def load(options: Options) -> Dataset:
    """Loads pictures that are sorted into one folder per class, or listed in a CSV file.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` with ``image_root`` or
        ``csv``. By default, a tenth of each class, at least 1 and at most 100 pictures, is used as
        queries (for multi-label data, a tenth of all pictures, at most 5,000), and all other
        pictures are training images.

    Returns:
      :class:`hashnet_jax.data.Dataset` with class ids int64 ``[N]`` or multi-hot labels
      int8 ``[N, C]``. ``names`` are sorted paths relative to the root, and ``skipped`` lists the
      pictures that cannot be read.

    Raises:
      FileNotFoundError: if the folder or the CSV file is missing, or no picture is readable.
      ValueError: if no picture is in a subfolder, a line of the CSV file is malformed, there are
        fewer than two classes, or a class is too small.
    """
    reject_options(
        "folder", options, ("lists", "allow_overlap"), "It only applies to `dataset='lists'`"
    )
    listing = list_pictures(options)
    unreadable = unreadable_pictures(listing)
    rows = {name: row for name, row in listing.labels.items() if name not in unreadable}
    classes = tuple(sorted({label for row in rows.values() for label in row}))
    notes = [
        *describe_lost_classes(listing, classes),
        *describe_passed_over(listing),
        *describe_unreadable(unreadable),
    ]
    try:
        labels = _encode_labels(listing, rows, classes)
        split = _split(labels, classes, options)
    except ValueError as error:
        # Pictures that were left out may be the cause.
        raise ValueError("\n".join([*notes, str(error)])) from error
    unlabelled = len(labels) - len(_labelled(labels))
    if unlabelled:
        notes.append(f"unlabelled pictures left out: {unlabelled:,}")
    if labels.ndim == 1:
        notes += describe_unseen(labels, classes, split)
    source = FileSource([listing.root / name for name in rows])
    skipped = (*listing.passed_over, *unreadable.items())
    return Dataset("folder", source, labels, classes, split, tuple(notes), tuple(rows), skipped)


def _encode_labels(
    listing: Listing, rows: Mapping[str, tuple[str, ...]], classes: tuple[str, ...]
) -> Int64[np.ndarray, " N"] | Int8[np.ndarray, "N C"]:
    """Returns the labels of the readable pictures.

    The labels are class ids if every picture has exactly one label, and multi-hot otherwise.
    Unreadable pictures are included in this check, so that one damaged file does not change the
    format of the labels.
    """
    if len(classes) < 2:
        raise ValueError(
            f"there must be at least two classes of pictures, but {listing.place} contains "
            f"{list(classes)}. Put each class in its own subfolder of `image_root`, or list the "
            "labels in a `csv` file."
        )
    ids = {label: i for i, label in enumerate(classes)}
    if all(len(row) == 1 for row in listing.labels.values()):
        return np.array([ids[label] for (label,) in rows.values()], np.int64)
    labels = np.zeros((len(rows), len(classes)), np.int8)
    for i, row in enumerate(rows.values()):
        labels[i, [ids[label] for label in row]] = 1
    return labels


def _split(
    labels: Int64[np.ndarray, " N"] | Int8[np.ndarray, "N C"],
    classes: tuple[str, ...],
    options: Options,
) -> Split:
    if labels.ndim == 1:
        return split_by_class("folder", labels, classes, options)
    return split_in_total("folder", _labelled(labels), options)


def _labelled(labels: Int64[np.ndarray, " N"] | Int8[np.ndarray, "N C"]) -> Int64[np.ndarray, " n"]:
    """Returns the indices of pictures that have at least one label."""
    if labels.ndim == 1:
        return np.arange(len(labels))
    return np.flatnonzero(labels.any(axis=1))
