"""ImageNet-100: ILSVRC2012 restricted to the 100 classes of HashNet's protocol.

It is read as TFDS prepares it, or from the folders in which the archives were unpacked. Both give
the same images, in the same order, and therefore the same split: the images are ordered by class
and by the numbers in their file names, which TFDS preserves. (TFDS converts the colours of four
training images of these classes from CMYK to RGB, so their pixels differ slightly.)
"""

from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from hashnet_jax.data._class_split import split_by_class
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._imagenet_files import (
    LAYOUT,
    Pictures,
    list_train,
    list_validation,
)
from hashnet_jax.data._numbered import Numbered, describe_count, pooled
from hashnet_jax.data.sources import FileSource
from hashnet_jax.data.unseen_classes import describe_unseen

# Numbers of images of the 100 classes.
PUBLISHED_TRAIN, PUBLISHED_VALIDATION = 128_503, 5_000


class _Parts(NamedTuple):
    train: Numbered
    validation: Numbered
    notes: tuple[str, ...] = ()


def load(options: Options) -> Dataset:
    """Loads ImageNet-100: queries from ILSVRC2012's validation set, the rest from its training set.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options`; with ``image_root``, the
        pictures are read from the folders `train` and `val` in it (see
        :mod:`hashnet_jax.data._imagenet_files`), otherwise from TFDS. With
        ``queries_per_class=None``, all validation images of the 100 classes are used as queries.

    Returns:
      :class:`hashnet_jax.data.Dataset` with labels 0..99, in order of WordNet id. The training
      images come first, and both parts are in order of class and number. ``names`` are the
      published file names.

    Raises:
      FileNotFoundError, ModuleNotFoundError: if pictures are missing; without ``image_root``, see
        :func:`hashnet_jax.data.tfds_source.open_builder`.
      ValueError: if an option does not apply to single-label data, or there are two files for a
        picture.
    """
    label_of = published_validation_labels()
    classes = class_names()
    parts = (
        _read_tfds(options, classes)
        if options.image_root is None
        else _read_files(options, classes, label_of)
    )
    train, validation = parts.train.by_class_and_number(), parts.validation.by_class_and_number()
    pool = pooled([train, validation])
    indices = np.arange(len(pool.labels))
    pools = indices[: len(train.labels)], indices[len(train.labels) :]
    split = split_by_class("imagenet100", pool.labels, options, pools, reads_files=True)
    return Dataset(
        "imagenet100",
        pool.source,
        pool.labels,
        classes,
        split,
        (*parts.notes, *describe_unseen(pool.labels, classes, split)),
        (
            *(f"{classes[c]}_{n}.JPEG" for c, n in zip(train.labels, train.numbers, strict=True)),
            *(f"ILSVRC2012_val_{number:08}.JPEG" for number in validation.numbers),
        ),
    )


def class_names() -> tuple[str, ...]:
    """Returns the WordNet ids of the 100 classes, sorted."""
    return tuple(_resource("imagenet100_wnids.txt"))


def published_validation_labels() -> dict[int, int]:
    """Returns the labels 0..99 of the 5,000 validation images, keyed by the number of the image."""
    lines = _resource("imagenet100_validation.txt")
    return {int(number): label for label, line in enumerate(lines) for number in line.split()[1:]}


def _resource(name: str) -> list[str]:
    """Returns the lines of a file of the package, of which each starts with a class, sorted."""
    return sorted(resources.files("hashnet_jax.data").joinpath(name).read_text().splitlines())


def _read_tfds(options: Options, classes: Sequence[str]) -> _Parts:
    from hashnet_jax.data.tfds_source import open_builder, read_split

    builder = open_builder("imagenet2012", data_dir=options.data_dir, manual_dir=options.manual_dir)
    features: Any = builder.info.features
    class_of = np.full(len(features["label"].names), -1, np.int64)
    for label, wnid in enumerate(classes):
        class_of[features["label"].str2int(wnid)] = label

    def read(split: str) -> Numbered:
        source, labels, numbers = read_split(builder, split, "class_ids", "file_numbers")
        return Numbered(source, class_of[labels], numbers)

    return _Parts(read("train"), read("validation"))


def _read_files(options: Options, classes: Sequence[str], label_of: dict[int, int]) -> _Parts:
    root = LAYOUT.root(options)
    train, validation = list_train(root, classes), list_validation(root, classes, label_of)
    notes = (
        *describe_count("training images", published=PUBLISHED_TRAIN, found=len(train.paths)),
        *describe_count(
            "validation images", published=PUBLISHED_VALIDATION, found=len(validation.paths)
        ),
        *train.notes,
        *validation.notes,
    )
    return _Parts(_numbered(train), _numbered(validation), notes)


def _numbered(pictures: Pictures) -> Numbered:
    source = FileSource(pictures.paths, upright=False)
    return Numbered(source, pictures.labels, pictures.numbers)
