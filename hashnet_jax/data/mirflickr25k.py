"""MIRFLICKR-25000, with several labels per image, from the two archives of its authors::

    mirflickr/im1.jpg ... mirflickr/im25000.jpg
    mirflickr25k_annotations_v080/animals.txt    numbers of images, one per line

There is a file for each of 24 concepts ("potential labels"). For 14 concepts, a second file such as
`baby_r1.txt` is the result of a stricter selection ("relevant labels"). Most work on hashing uses
the 24 files, as does this module; some counts the second files as 14 more classes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._image_root import Layout
from hashnet_jax.data._listed_pictures import Listed, find_pictures
from hashnet_jax.data._numbered import describe_count
from hashnet_jax.data._total_split import describe_unlabelled, split_labelled, total_sizes
from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.reading import damage_named

_CONCEPTS = """
animals baby bird car clouds dog female flower food indoor lake male night people plant_life
portrait river sea sky structures sunset transport tree water
"""
CONCEPTS = tuple(_CONCEPTS.split())
PUBLISHED_IMAGES, PUBLISHED_LABELLED = 25_000, 24_581

LAYOUT = Layout(
    "mirflickr25k",
    "mirflickr/im1.jpg to im25000.jpg and mirflickr25k_annotations_v080/CONCEPT.txt for each of 24 "
    "concepts",
    "Download mirflickr25k.zip and mirflickr25k_annotations_v080.zip from "
    "press.liacs.nl/mirflickr, and unpack them in that folder, the latter into "
    "mirflickr25k_annotations_v080/.",
)

_PICTURE_FOLDERS = ("mirflickr", "images")
_LABEL_FOLDERS = ("mirflickr25k_annotations_v080", "annotations", "mirflickr/annotations")
_OTHER_LABELS = "_r1"
_REMEDY = "unpack it again from mirflickr25k_annotations_v080.zip"


def load(options: Options) -> Dataset:
    """Loads MIRFLICKR-25000 with 24 concepts, dropping unlabelled images.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` in which ``image_root``,
        ``queries`` and ``train_images`` must be set.

    Returns:
      :class:`hashnet_jax.data.Dataset` with multi-hot labels, int8 ``[N, 24]``, and the names of
      the pictures, in the order of their numbers. Images whose pictures are missing are left out,
      and listed in ``skipped``.

    Raises:
      DamagedFile: if a file is damaged.
      FileNotFoundError: if a label file or all pictures are missing.
      ValueError: if an option does not apply to multi-label data, or there are too few images.
    """
    sizes = total_sizes("mirflickr25k", options, "The usual protocol uses 2000 and 10000")
    root = LAYOUT.required_root(options)
    listed = _read_labels(root)
    images = find_pictures(LAYOUT, root, LAYOUT.find(root, _PICTURE_FOLDERS), listed)
    split = split_labelled(images.listed.labels, sizes, options)
    notes = (*_describe_counts(listed), describe_unlabelled(images.listed.labels))
    return images.dataset("mirflickr25k", split, notes)


def _read_labels(root: Path) -> Listed:
    folder = LAYOUT.find(root, _LABEL_FOLDERS)
    _check_concepts(root, folder)
    labels = np.zeros((PUBLISHED_IMAGES, len(CONCEPTS)), np.int8)
    for column, concept in enumerate(CONCEPTS):
        labels[_read_numbers(folder / f"{concept}.txt") - 1, column] = 1
    names = tuple(f"im{number}.jpg" for number in range(1, PUBLISHED_IMAGES + 1))
    return Listed(CONCEPTS, names, labels)


def _check_concepts(root: Path, folder: Path) -> None:
    found = {path.stem for path in folder.glob("*.txt")} - {"README"}
    if missing := sorted(set(CONCEPTS) - found):
        raise LAYOUT.error(
            root, f"lacks {len(missing)} of the 24 label files (first: {missing[0]}.txt)"
        )
    others = sorted(name for name in found if name.removesuffix(_OTHER_LABELS) not in CONCEPTS)
    if others:
        raise ValueError(
            f"{folder} must have label files of the 24 concepts, and no others, but has "
            f"{printable(others[0])}.txt ({len(others):,} in total). Remove it."
        )


def _read_numbers(file: Path) -> Int64[np.ndarray, " n"]:
    """Reads the numbers of a concept's images."""
    refuse_pipe(file)
    with damage_named(file, "the labels of a concept of MIRFLICKR", _REMEDY):
        if not file.stat().st_size:
            raise ValueError("it is empty")
        numbers = np.loadtxt(file, np.int64, ndmin=2, comments=None)
        if numbers.shape[1] != 1:
            raise ValueError(f"it must have one number per line, but has {numbers.shape[1]}")
        if (wrong := (numbers < 1) | (numbers > PUBLISHED_IMAGES)).any():
            line = int(np.argmax(wrong))
            raise ValueError(
                f"line {line + 1} must be the number of an image, 1 to {PUBLISHED_IMAGES:,}, but "
                f"is {numbers[line, 0]}"
            )
        return numbers[:, 0]


def _describe_counts(listed: Listed) -> Iterator[str]:
    labelled = int(listed.labels.any(axis=1).sum())
    yield from describe_count("labelled images", published=PUBLISHED_LABELLED, found=labelled)
