"""CIFAR-10: from TFDS, or from its binary files, with training and test images pooled.

Both give the same images, in the order of the binary files, and therefore the same split::

    data_batch_1.bin ... data_batch_5.bin    test_batch.bin    batches.meta.txt
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.data._class_split import split_by_class
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._image_root import Layout
from hashnet_jax.data._numbered import Numbered, describe_count, pooled
from hashnet_jax.data.sources import ArraySource
from hashnet_jax.data.unseen_classes import describe_unseen
from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.reading import damage_named, read_text

TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILES = ("test_batch.bin",)
NAMES_FILE = "batches.meta.txt"

LAYOUT = Layout(
    "cifar10",
    "data_batch_1.bin to data_batch_5.bin, test_batch.bin and batches.meta.txt",
    "Download cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, unpack it, "
    "and pass its folder cifar-10-batches-bin.",
)

_PUBLISHED_TRAIN, _PUBLISHED_TEST = 50_000, 10_000
_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE * _SIDE  # the class, then the red, green and blue levels
_REMEDY = "unpack it again from cifar-10-binary.tar.gz"


class _Parts(NamedTuple):
    train: Numbered
    test: Numbered
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load(options: Options) -> Dataset:
    """Loads CIFAR-10, pooling its training and test images.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options`; with ``image_root``, the
        binary files in that folder are read, otherwise TFDS's data.

    Returns:
      :class:`hashnet_jax.data.Dataset` with labels int64 ``[N]``. The training images come first.

    Raises:
      DamagedFile: if a file is damaged.
      FileNotFoundError: if files in ``image_root`` are missing.
      ModuleNotFoundError: see :func:`hashnet_jax.data.tfds_source.open_builder`.
      ValueError: if an option does not apply to single-label data.
    """
    parts = _read_tfds(options) if options.image_root is None else _read_files(options)
    images = pooled([parts.train.by_number(), parts.test.by_number()])
    split = split_by_class("cifar10", images.labels, options, reads_files=True)
    notes = (*parts.notes, *describe_unseen(images.labels, parts.classes, split))
    return Dataset("cifar10", images.source, images.labels, parts.classes, split, notes)


def _read_tfds(options: Options) -> _Parts:
    from hashnet_jax.data._tfds_labels import PREPARE_AGAIN
    from hashnet_jax.data.tfds_source import open_builder, read_split

    builder = open_builder("cifar10", data_dir=options.data_dir, manual_dir=options.manual_dir)
    train, test = (
        Numbered(*read_split(builder, split, "class_ids", "example_numbers"))
        for split in ("train", "test")
    )
    features: Any = builder.info.features
    classes = tuple(features["label"].names)
    file = Path(builder.data_path, "label.labels.txt")
    with damage_named(file, "the names of all classes", PREPARE_AGAIN):
        if len(classes) <= max(train.labels.max(), test.labels.max()):
            raise ValueError(f"it has only {len(classes)} names")
    return _Parts(train, test, classes)


def _read_files(options: Options) -> _Parts:
    root = LAYOUT.root(options)
    names = (*TRAIN_FILES, *TEST_FILES, NAMES_FILE)
    if missing := [name for name in names if not (root / name).is_file()]:
        raise LAYOUT.error(root, f"lacks {', '.join(missing)}")
    classes = tuple(read_text(root / NAMES_FILE, "the names of the classes", _REMEDY).split())
    train, test = (
        _numbered([_read_records(root / name, len(classes)) for name in files])
        for files in (TRAIN_FILES, TEST_FILES)
    )
    notes = (
        *describe_count("training images", published=_PUBLISHED_TRAIN, found=len(train.labels)),
        *describe_count("test images", published=_PUBLISHED_TEST, found=len(test.labels)),
    )
    return _Parts(train, test, classes, notes)


def _read_records(file: Path, n_classes: int) -> UInt8[np.ndarray, "N bytes"]:
    """Reads a binary file, one record in each row."""
    refuse_pipe(file)
    with damage_named(file, "a binary file of CIFAR-10", _REMEDY):
        size = file.stat().st_size
        if size == 0 or size % _RECORD_BYTES:
            raise ValueError(f"it has {size:,} bytes, not a multiple of {_RECORD_BYTES:,}")
        records = np.fromfile(file, np.uint8).reshape(-1, _RECORD_BYTES)
        if (largest := records[:, 0].max()) >= n_classes:
            raise ValueError(f"it has class {largest}, but {NAMES_FILE} names {n_classes} classes")
        return records


def _numbered(files: list[UInt8[np.ndarray, "_ bytes"]]) -> Numbered:
    records = np.concatenate(files)
    planes = records[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Numbered(ArraySource(images), records[:, 0].astype(np.int64), np.arange(len(records)))
