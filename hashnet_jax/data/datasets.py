"""Data sets by name: source, labels and the split of the protocol.

To add one: a function ``(options) -> Dataset`` and a line in ``DATASETS``.
"""

from importlib import resources

import numpy as np

from hashnet_jax.data.dataset import IN_ALL, OF_FILES, Dataset, Options, refuse
from hashnet_jax.data.folder import folder
from hashnet_jax.data.multilabel import coco, lists
from hashnet_jax.data.protocols import per_class_split
from hashnet_jax.data.sources import ArraySource, PooledSource

__all__ = ["DATASETS", "Dataset", "Options", "digits", "imagenet100", "pooled_tfds"]


def digits(options):
    """scikit-learn's 1,797 handwritten digits, 8x8, shipped with it: nothing is downloaded."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    # Levels 0..16 to 0..255.
    images = np.round(loaded.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = loaded.target.astype(np.int64)
    classes = tuple(str(name) for name in loaded.target_names)
    return Dataset(
        "digits", ArraySource(images), labels, classes, _by_class("digits", labels, options)
    )


def pooled_tfds(name):
    """A loader for a TFDS data set whose train and test images are pooled, then drawn from."""

    def load(options):
        from hashnet_jax.data.tfds_source import open_builder, read_split

        builder = open_builder(name, data_dir=options.data_dir, manual_dir=options.manual_dir)
        parts = [read_split(builder, split) for split in ("train", "test")]
        source = PooledSource([source for source, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        classes = tuple(builder.info.features["label"].names)
        return Dataset(name, source, labels, classes, _by_class(name, labels, options))

    return load


def imagenet100(options):
    """ILSVRC2012 cut to 100 classes: queries all its validation images, database all training.

    Labels are 0..99 in the order of the sorted WordNet ids.
    """
    from hashnet_jax.data.tfds_source import open_builder, read_split

    wnids = resources.files("hashnet_jax.data").joinpath("imagenet100_wnids.txt")
    classes = tuple(sorted(wnids.read_text().split()))
    builder = open_builder("imagenet2012", data_dir=options.data_dir, manual_dir=options.manual_dir)
    class_of = np.full(len(builder.info.features["label"].names), -1, np.int64)
    for label, wnid in enumerate(classes):
        class_of[builder.info.features["label"].str2int(wnid)] = label
    (train, train_labels), (held_out, held_out_labels) = (
        read_split(builder, split) for split in ("train", "validation")
    )
    labels = class_of[np.concatenate([train_labels, held_out_labels])]
    kept = np.flatnonzero(labels >= 0)
    pools = kept[kept < len(train)], kept[kept >= len(train)]
    return Dataset(
        "imagenet100",
        PooledSource([train, held_out]),
        labels,
        classes,
        _by_class("imagenet100", labels, options, pools),
    )


DATASETS = {
    "digits": digits,
    "imagenet100": imagenet100,
    "coco": coco,
    "lists": lists,
    "folder": folder,
    "cifar10": pooled_tfds("cifar10"),
    "fashion_mnist": pooled_tfds("fashion_mnist"),
    "mnist": pooled_tfds("mnist"),
}


def _by_class(name, labels, options, pools=None):
    refuse(name, options, IN_ALL, "say how many a class with --queries-per-class and the like")
    refuse(name, options, OF_FILES, "leave it out, or read your own with --dataset lists or folder")
    if pools is None and options.queries_per_class is None:
        raise ValueError(f"{name} needs queries_per_class, got None: the field takes 100.")
    return per_class_split(
        labels,
        queries=options.queries_per_class,
        train=options.train_per_class,
        validation=options.validation_per_class,
        train_in_database=options.train_in_database is not False,
        pools=pools,
        seed=options.split_seed,
    )
