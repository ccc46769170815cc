"""MNIST and Fashion-MNIST from TFDS, with training and test images pooled."""

from pathlib import Path
from typing import Any

import numpy as np

from hashnet_jax.data._class_split import split_by_class
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._registry import Loader
from hashnet_jax.data.sources import PooledSource
from hashnet_jax.data.unseen_classes import describe_unseen
from hashnet_jax.distributed.reading import damage_named


def loader(name: str) -> Loader:
    """Returns a loader for a TFDS data set that pools its training and test images.

    Args:
      name: name of the data set in TFDS, e.g. ``"mnist"``.

    Returns:
      A function ``options -> Dataset`` to register under ``name``; the labels are class ids int64
      ``[N]``.
    """

    def load(options: Options) -> Dataset:
        from hashnet_jax.data._tfds_labels import PREPARE_AGAIN
        from hashnet_jax.data.tfds_source import open_builder, read_split

        builder = open_builder(name, data_dir=options.data_dir, manual_dir=options.manual_dir)
        parts = [read_split(builder, split, "class_ids") for split in ("train", "test")]
        source = PooledSource([source for source, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        features: Any = builder.info.features
        split = split_by_class(name, labels, options)
        names = tuple(features["label"].names)
        file = Path(builder.data_path, "label.labels.txt")
        with damage_named(file, "the names of all classes", PREPARE_AGAIN):
            notes = describe_unseen(labels, names, split)
            return Dataset(name, source, labels, names, split, notes)

    return load
