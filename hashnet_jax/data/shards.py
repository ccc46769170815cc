"""Pictures in shards: Parquet files as on the Hugging Face Hub, or tar files as of WebDataset.

A folder contains files of one of the two forms, in subfolders or not. All of them are pooled, since
their publishers' divisions into training and test data say nothing of queries and a database. See
:mod:`hashnet_jax.data._parquet_shards` and :mod:`hashnet_jax.data._tar_shards` for what the files
contain, and how pictures in them are read by index.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int8, Int64

from hashnet_jax.data._dataset import OWN_FILE_FIELDS, Dataset, Options, reject_options
from hashnet_jax.data._folder_split import split_by_class, split_in_total
from hashnet_jax.data._image_root import Layout
from hashnet_jax.data._numbered import ReorderedSource
from hashnet_jax.data._shard_source import Labelled, ShardSource
from hashnet_jax.data.sources import ImageSource
from hashnet_jax.data.unseen_classes import describe_unseen

LAYOUT = Layout(
    "shards",
    "Parquet files of pictures (*.parquet), or tar files of WebDataset (*.tar)",
    "Decompress .tar.gz files first. For pictures in folders, use `dataset='folder'`.",
)


class _Shards(NamedTuple):
    source: ImageSource
    names: tuple[str, ...]
    labels: Int64[np.ndarray, " N"] | Int8[np.ndarray, "N C"]
    classes: tuple[str, ...]
    unlabelled: int


def load(options: Options) -> Dataset:
    """Loads pictures in Parquet or tar files.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` with ``image_root``. The
        default sizes of the split are those of :func:`hashnet_jax.data.folder.load`.

    Returns:
      :class:`hashnet_jax.data.Dataset` with class ids int64 ``[N]``, or multi-hot labels
      int8 ``[N, C]`` if the labels are lists.

    Raises:
      DamagedFile: if a file is damaged, or contains no pictures with labels.
      FileNotFoundError: if there are no such files.
      ValueError: if there are files of both forms, fewer than two classes, or a class is too small.
    """
    own = "For your own pictures, use `dataset='lists'` or `dataset='folder'`"
    reject_options("shards", options, OWN_FILE_FIELDS, own)
    root = LAYOUT.required_root(options)
    labelled = _read(root)
    shards, notes = _collect(root, labelled), [*labelled.notes]
    if shards.unlabelled:
        notes.append(f"unlabelled pictures left out: {shards.unlabelled:,}")
    labels, classes = shards.labels, shards.classes
    if labels.ndim == 1:
        split = split_by_class("shards", labels, classes, options)
        notes += describe_unseen(labels, classes, split)
    else:
        split = split_in_total("shards", np.flatnonzero(labels.any(axis=1)), options)
    return Dataset("shards", shards.source, labels, classes, split, tuple(notes), shards.names)


def _read(root: Path) -> Labelled:
    parquet, tar = (sorted(root.rglob(f"*{suffix}")) for suffix in (".parquet", ".tar"))
    if parquet and tar:
        raise ValueError(
            f"`image_root` must contain either Parquet or tar files, but {root} contains both "
            f"{parquet[0].name} and {tar[0].name}. Move one kind to another folder."
        )
    if parquet:
        from hashnet_jax.data._parquet_shards import read_parquet  # imports pyarrow

        return read_parquet(root, parquet)
    if tar:
        from hashnet_jax.data._tar_shards import read_tars

        return read_tars(root, tar)
    raise LAYOUT.error(root, "has no such files")


def _collect(root: Path, labelled: Labelled) -> _Shards:
    rows = [[label for label in row if label >= 0] for row in labelled.labels]
    used = {label for row in rows for label in row}
    n_classes = max(used, default=-1) + 1
    classes = labelled.classes or tuple(map(str, range(n_classes)))
    if len(used) < 2 or n_classes > len(classes):
        raise ValueError(
            "there must be at least two classes of pictures, and a name for each if they are "
            f"named, but {root} has labels of {len(used):,} classes, of which the largest is "
            f"{n_classes - 1}, and {len(classes):,} names. Correct the labels."
        )
    source = ShardSource(labelled.pictures)
    names = [labelled.pictures.name(index) for index in range(len(rows))]
    has_label = np.array([bool(row) for row in rows])
    unlabelled = int(np.count_nonzero(~has_label))
    if labelled.has_lists:
        labels = np.zeros((len(rows), len(classes)), np.int8)
        for i, row in enumerate(rows):
            labels[i, row] = 1
        return _Shards(source, tuple(names), labels, classes, unlabelled)
    kept = np.flatnonzero(has_label)
    ids = np.array([rows[i][0] for i in kept], np.int64)
    own = ReorderedSource(source, kept) if unlabelled else source
    return _Shards(own, tuple(names[i] for i in kept), ids, classes, unlabelled)
