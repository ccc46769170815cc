"""ImageNet-100: ILSVRC2012 restricted to the 100 classes of HashNet's protocol."""

from importlib import resources
from typing import Any

import numpy as np

from hashnet_jax.data._class_split import split_by_class
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data.sources import PooledSource
from hashnet_jax.data.unseen_classes import describe_unseen


def load(options: Options) -> Dataset:
    """Loads ImageNet-100: queries from ILSVRC2012's validation set, the rest from its training set.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options`; with
        ``queries_per_class=None``, all validation images of the 100 classes are used as queries.

    Returns:
      :class:`hashnet_jax.data.Dataset` with labels 0..99, in order of WordNet id.
      Images from other classes have label -1 and are not in any part of the split.

    Raises:
      FileNotFoundError, ModuleNotFoundError: see
        :func:`hashnet_jax.data.tfds_source.open_builder`.
      ValueError: if an option does not apply to single-label data.
    """
    from hashnet_jax.data.tfds_source import open_builder, read_split

    wnids = resources.files("hashnet_jax.data").joinpath("imagenet100_wnids.txt")
    classes = tuple(sorted(wnids.read_text().split()))
    builder = open_builder("imagenet2012", data_dir=options.data_dir, manual_dir=options.manual_dir)
    features: Any = builder.info.features
    class_of = np.full(len(features["label"].names), -1, np.int64)
    for label, wnid in enumerate(classes):
        class_of[features["label"].str2int(wnid)] = label
    (train, train_labels), (held_out, held_out_labels) = (
        read_split(builder, split) for split in ("train", "validation")
    )
    labels = class_of[np.concatenate([train_labels, held_out_labels])]
    kept = np.flatnonzero(labels >= 0)
    pools = kept[kept < len(train)], kept[kept >= len(train)]
    split = split_by_class("imagenet100", labels, options, pools)
    source, notes = PooledSource([train, held_out]), describe_unseen(labels, classes, split)
    return Dataset("imagenet100", source, labels, classes, split, notes)
