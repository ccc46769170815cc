"""The MS COCO data set, with several labels per image."""

from pathlib import Path
from typing import Any

import numpy as np

from hashnet_jax.data._dataset import (
    CLASS_FIELDS,
    FILE_FIELDS,
    UNSEEN_FIELDS,
    Dataset,
    Options,
    reject_options,
)
from hashnet_jax.data.sources import PooledSource
from hashnet_jax.data.splits import random_split
from hashnet_jax.distributed.reading import damage_named


def load(options: Options) -> Dataset:
    """Loads COCO 2014, pooling its train and validation splits and dropping unlabelled images.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` in which ``queries`` and
        ``train_images`` must be set.

    Returns:
      :class:`hashnet_jax.data.Dataset` with multi-hot labels, int8 ``[N, 80]``, which mark the
      categories of the objects in each image.

    Raises:
      ModuleNotFoundError: see :func:`hashnet_jax.data.tfds_source.open_builder`.
      ValueError: if an option does not apply to multi-label data, or there are too few images.
    """
    from hashnet_jax.data._tfds_labels import PREPARE_AGAIN
    from hashnet_jax.data.tfds_source import open_builder, read_split

    queries, train_images = _sizes(options)
    builder = open_builder("coco/2014", data_dir=options.data_dir, manual_dir=options.manual_dir)
    parts = [read_split(builder, split, "object_labels") for split in ("train", "validation")]
    source = PooledSource([source for source, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    labelled = np.flatnonzero(labels.any(axis=1))
    split = random_split(
        labelled,
        queries=queries,
        train=train_images,
        validation=options.validation_images,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )
    features: Any = builder.info.features
    classes = tuple(features["objects"].feature["label"].names)
    notes = (f"unlabelled images left out: {len(labels) - len(labelled):,}",)
    file = Path(builder.data_path, "objects-label.labels.txt")
    with damage_named(file, "the names of all classes", PREPARE_AGAIN):
        return Dataset("coco", source, labels, classes, split, notes)


def _sizes(options: Options) -> tuple[int, int]:
    """Returns the numbers of queries and training images; raises a ValueError if one is unset."""
    totals = "Set the totals `queries`, `train_images` and `validation_images` instead"
    reject_options("coco", options, CLASS_FIELDS, totals)
    several = "An image with several labels may have both seen and unseen ones"
    reject_options("coco", options, UNSEEN_FIELDS, several)
    own = "For your own pictures, use `dataset='lists'` or `dataset='folder'`"
    reject_options("coco", options, FILE_FIELDS, own)
    if options.queries is None or options.train_images is None:
        raise ValueError(
            "coco requires `queries` and `train_images`, got "
            f"{options.queries} and {options.train_images}. The paper uses 5000 and 10000."
        )
    return options.queries, options.train_images
