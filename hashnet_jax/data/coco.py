"""The MS COCO data set, with several labels per image.

It is read as TFDS prepares it, or from the annotations and pictures as they are published. Both
give the same images, in the order of COCO's numbers, and therefore the same split.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hashnet_jax.data._coco_files import LAYOUT, PARTS, find_year, read_part
from hashnet_jax.data._dataset import (
    CLASS_FIELDS,
    OWN_FILE_FIELDS,
    UNSEEN_FIELDS,
    Dataset,
    Options,
    reject_options,
)
from hashnet_jax.data._numbered import Numbered, describe_count, pooled
from hashnet_jax.data.sources import FileSource
from hashnet_jax.data.splits import random_split
from hashnet_jax.distributed.reading import damage_named

PUBLISHED_IMAGES, PUBLISHED_LABELLED = 123_287, 122_218


class _Pool(NamedTuple):
    images: Numbered
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load(options: Options) -> Dataset:
    """Loads COCO 2014, pooling its train and validation splits and dropping unlabelled images.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` in which ``queries`` and
        ``train_images`` must be set; with ``image_root``, annotations and pictures of 2014 or 2017
        are read from that folder (see :mod:`hashnet_jax.data._coco_files`), otherwise from TFDS.

    Returns:
      :class:`hashnet_jax.data.Dataset` with multi-hot labels, int8 ``[N, 80]``, which mark the
      categories of the objects in each image. The images are in the order of COCO's numbers, of
      which the ``names`` consist.

    Raises:
      FileNotFoundError: if files in ``image_root`` are missing.
      ModuleNotFoundError: see :func:`hashnet_jax.data.tfds_source.open_builder`.
      ValueError: if an option does not apply to multi-label data, or there are too few images.
    """
    queries, train_images = _sizes(options)
    read = _read_tfds if options.image_root is None else _read_files
    pool, classes, notes = read(options)
    images = pool.by_number()
    labelled = np.flatnonzero(images.labels.any(axis=1))
    split = random_split(
        labelled,
        queries=queries,
        train=train_images,
        validation=options.validation_images,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )
    notes = (*notes, f"unlabelled images left out: {len(images.labels) - len(labelled):,}")
    names = tuple(f"{number:012}.jpg" for number in images.numbers)
    return Dataset("coco", images.source, images.labels, classes, split, notes, names)


def _read_tfds(options: Options) -> _Pool:
    from hashnet_jax.data._tfds_labels import PREPARE_AGAIN
    from hashnet_jax.data.tfds_source import open_builder, read_split

    builder = open_builder("coco/2014", data_dir=options.data_dir, manual_dir=options.manual_dir)
    parts = [
        Numbered(*read_split(builder, split, "object_labels", "image_ids"))
        for split in ("train", "validation")
    ]
    images = pooled(parts)
    features: Any = builder.info.features
    classes = tuple(features["objects"].feature["label"].names)
    file = Path(builder.data_path, "objects-label.labels.txt")
    with damage_named(file, "the names of all classes", PREPARE_AGAIN):
        if len(classes) != images.labels.shape[1]:
            raise ValueError(f"it has {len(classes)} names of {images.labels.shape[1]} classes")
    return _Pool(images, classes)


def _read_files(options: Options) -> _Pool:
    root = LAYOUT.root(options)
    year = find_year(root)
    read = {part: read_part(root, f"{part}{year}") for part in PARTS}
    train, validation = read.values()
    if train.classes != validation.classes:
        raise ValueError(
            f"the annotations of training and validation images in {root / 'annotations'} must "
            "have the same categories, but have different ones. Unpack both from one archive."
        )
    images = pooled(
        [
            Numbered(
                FileSource([root / f"{part}{year}" / name for name in one.names], upright=False),
                one.labels,
                one.ids,
            )
            for part, one in read.items()
        ]
    )
    return _Pool(images, train.classes, tuple(_describe_counts(images)))


def _describe_counts(images: Numbered) -> Iterator[str]:
    labelled = int(images.labels.any(axis=1).sum())
    yield from describe_count("images", published=PUBLISHED_IMAGES, found=len(images.labels))
    yield from describe_count("labelled images", published=PUBLISHED_LABELLED, found=labelled)


def _sizes(options: Options) -> tuple[int, int]:
    """Returns the numbers of queries and training images; raises a ValueError if one is unset."""
    totals = "Set the totals `queries`, `train_images` and `validation_images` instead"
    reject_options("coco", options, CLASS_FIELDS, totals)
    several = "An image with several labels may have both seen and unseen ones"
    reject_options("coco", options, UNSEEN_FIELDS, several)
    own = "For your own pictures, use `dataset='lists'` or `dataset='folder'`"
    reject_options("coco", options, OWN_FILE_FIELDS, own)
    if options.queries is None or options.train_images is None:
        raise ValueError(
            "coco requires `queries` and `train_images`, got "
            f"{options.queries} and {options.train_images}. The paper uses 5000 and 10000."
        )
    return options.queries, options.train_images
