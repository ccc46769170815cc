"""Counts images that are in more than one part of the split, by index and by content.

A query in the database finds itself, and a query in the training set does not test generalization.
A :class:`hashnet_jax.data.Split` rejects such queries, which it detects by their indices. The same
*picture* under two names is a different matter: web collections contain such duplicates, all
published results include them, and leaving them out would change the protocol. They are therefore
only counted and reported.

Only pictures with identical pixels are found. Near-duplicates are more common: 3.3% of CIFAR-10's
test images have a near-duplicate in the training set.

Reference: Barz, Denzler, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", Journal of
Imaging 6(6), 2020.
"""

import concurrent.futures
import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from hashnet_jax.data._dataset import Dataset
from hashnet_jax.data.sources import digest_pixels
from hashnet_jax.data.splits import Split
from hashnet_jax.distributed.progress import Progress

# Up to this many images are cheap to decode and compare. Images in memory are always cheap.
MAX_CHEAP_IMAGES = 20_000

PAIRS = (("query", "train"), ("query", "database"), ("train", "database"))

# Images are processed in blocks, so that an interrupt waits only for the current block.
_IMAGES_PER_BLOCK = 1024

Overlaps = dict[str, dict[str, int | None]]


def is_cheap(dataset: Dataset) -> bool:
    """Returns whether comparing all images is cheap; see ``MAX_CHEAP_IMAGES``."""
    return dataset.source.in_memory or n_compared(dataset) <= MAX_CHEAP_IMAGES


def overlaps(
    dataset: Dataset, *, by_content: bool = True, progress: Progress | None = None
) -> Overlaps:
    """Counts the images in one part of the split that are also in another.

    Two pictures are the same if their height, width and decoded pixels are equal.

    Args:
      dataset: the data set, :class:`hashnet_jax.data.Dataset`.
      by_content: whether to compare decoded pixels too, which requires decoding every image once.
      progress: an open :class:`hashnet_jax.distributed.progress.Progress` that counts the
        :func:`n_compared` images, or None.

    Returns:
      ``{"query/train": {"same_image": int, "same_picture": int or None}, ...}``, with an entry for
      each pair of parts in ``PAIRS``: the number of images in the first part whose index is also in
      the second, and the number whose picture is in the second under another index (None if not
      compared).

    Examples:
      >>> from hashnet_jax.data import ArraySource
      >>> images = np.array([7, 8, 7, 9], np.uint8).reshape(4, 1, 1, 1)
      >>> split = Split(query=[0], train=[1], database=[1, 2, 3])
      >>> overlaps(Dataset("four", ArraySource(images), np.zeros(4, int), ("one",), split))
      {'query/train': {'same_image': 0, 'same_picture': 0},
       'query/database': {'same_image': 0, 'same_picture': 1},
       'train/database': {'same_image': 1, 'same_picture': 0}}
    """
    picture_ids = _identify_pictures(dataset, progress) if by_content else None
    parts = dataset.split.parts()
    return {f"{a}/{b}": _count_shared(parts[a], parts[b], picture_ids) for a, b in PAIRS}


def n_compared(dataset: Dataset) -> int:
    """Returns the number of images that :func:`overlaps` decodes."""
    return len(_compared(dataset.split))


def has_content(counts: Mapping[str, Mapping[str, int | None]]) -> bool:
    """Returns whether counts from :func:`overlaps` include results of a comparison by content."""
    return all(pair["same_picture"] is not None for pair in counts.values())


def describe(counts: Mapping[str, Mapping[str, int | None]]) -> str:
    """Summarizes counts from :func:`overlaps` in one sentence.

    Examples:
      >>> describe({"query/database": {"same_image": 2, "same_picture": None}})
      'queries in the database: 2; copies under other names were not checked'
    """
    by_index = f"queries in the database: {counts['query/database']['same_image']:,}"
    if not has_content(counts):
        return f"{by_index}; copies under other names were not checked"
    copies = {pair: f"{shared['same_picture']:,}" for pair, shared in counts.items()}
    return (
        f"{by_index}; queries with a copy under another name: {copies['query/database']} in the "
        f"database, {copies['query/train']} in the training set"
    )


def _count_shared(
    part: Int64[np.ndarray, " n"],
    other: Int64[np.ndarray, " m"],
    picture_ids: Int64[np.ndarray, " N"] | None,
) -> dict[str, int | None]:
    """Counts the images in ``part`` that are also in ``other``, by index and by content."""
    shared = np.isin(part, other)
    same_picture = None
    if picture_ids is not None:
        members = np.bincount(picture_ids[other], minlength=len(picture_ids))[picture_ids[part]]
        # An image is not its own copy.
        same_picture = int(np.count_nonzero(members - shared > 0))
    return {"same_image": int(np.count_nonzero(shared)), "same_picture": same_picture}


def _compared(split: Split) -> Int64[np.ndarray, " n"]:
    return np.unique(np.concatenate([split.query, split.train, split.database]))


def _identify_pictures(dataset: Dataset, progress: Progress | None) -> Int64[np.ndarray, " N"]:
    """Returns an id for each image. Identical images share an id; images not compared get 0."""

    def digest(index: np.integer) -> bytes:
        return digest_pixels(dataset.source[index])

    numbers: dict[bytes, int] = {}
    picture_ids = np.zeros(len(dataset.source), np.int64)
    indices = _compared(dataset.split)
    # Decoding and hashing release the GIL.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(indices), _IMAGES_PER_BLOCK):
            block = indices[start : start + _IMAGES_PER_BLOCK]
            for index, content in zip(block, pool.map(digest, block), strict=True):
                picture_ids[index] = numbers.setdefault(content, len(numbers))
            if progress is not None:
                progress.update(len(block))
    return picture_ids
