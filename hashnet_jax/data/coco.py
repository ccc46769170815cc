"""The MS COCO data set, with several labels per image.

It is read as TFDS prepares it, or from the annotations and pictures as they are published. Both
give the same images, in the order of COCO's numbers, and therefore the same split.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hashnet_jax.data._coco_files import LAYOUT, PARTS, find_year, read_part
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._numbered import Numbered, describe_count, pooled
from hashnet_jax.data._total_split import describe_unlabelled, split_labelled, total_sizes
from hashnet_jax.data.sources import FileSource
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
    sizes = total_sizes("coco", options, "The paper uses 5000 and 10000")
    read = _read_tfds if options.image_root is None else _read_files
    pool, classes, notes = read(options)
    images = pool.by_number()
    split = split_labelled(images.labels, sizes, options)
    notes = (*notes, describe_unlabelled(images.labels))
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
