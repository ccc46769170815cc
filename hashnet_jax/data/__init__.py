"""Data sets: images accessed by index, their labels, and the protocol's split.

To add a data set, write a file with a function ``load(options) -> Dataset`` and register it below;
put its config in :mod:`hashnet_jax.configs`.

Libraries are imported only where needed: grain in :mod:`hashnet_jax.data.pipeline`, TFDS in
:mod:`hashnet_jax.data.tfds_source`, pyarrow when Parquet files are read, and scikit-learn when the
digits are loaded.
"""

from hashnet_jax.data import (
    cifar10,
    coco,
    digits,
    folder,
    imagenet100,
    lists,
    mirflickr25k,
    nuswide,
    shards,
    tfds_pooled,
)
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._registry import DATASETS, register
from hashnet_jax.data.sources import ArraySource, FileSource, ImageSource, PooledSource
from hashnet_jax.data.splits import Split, per_class_split, random_split
from hashnet_jax.data.unseen_classes import unseen_class_split

register("digits", digits.load)
register("imagenet100", imagenet100.load)
register("coco", coco.load)
register("nuswide", nuswide.load)
register("nuswide_21", nuswide.load_21)
register("mirflickr25k", mirflickr25k.load)
register("lists", lists.load)
register("folder", folder.load)
register("shards", shards.load)
register("cifar10", cifar10.load)
register("fashion_mnist", tfds_pooled.loader("fashion_mnist"))
register("mnist", tfds_pooled.loader("mnist"))

__all__ = [
    "DATASETS",
    "ArraySource",
    "Dataset",
    "FileSource",
    "ImageSource",
    "Options",
    "PooledSource",
    "Split",
    "per_class_split",
    "random_split",
    "register",
    "unseen_class_split",
]
