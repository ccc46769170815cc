"""Images that are in more than one of query, train and database: by index and by content.

A query in the database is a hit of its own, and one that was trained on is no test. By index a
:class:`hashnet_jax.data.protocols.Split` refuses both. The same *picture* under two names is
another matter: collections from the web hold such pairs, every published figure includes them, and
leaving them out would be another protocol. So they are counted and reported, and stop nothing.

Only equal pixels are found. Near copies are more: of CIFAR-10's test images 3.3 % have one among
its training images.

Reference: Barz, Denzler, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", Journal of
Imaging 6(6), 2020.
"""

import concurrent.futures
import hashlib
import os

import numpy as np

# Images that are decoded without being asked to; a data set in memory has no limit.
SMALL = 20_000

PAIRS = (("query", "train"), ("query", "database"), ("train", "database"))

_BLOCK = 1024


def is_cheap(dataset):
    """Whether all pictures are compared without being asked to: in memory, or at most ``SMALL``."""
    return dataset.source.in_memory or len(_compared(dataset.split)) <= SMALL


def overlaps(dataset, *, by_content=True, progress=None):
    """Counts images of one part of the split that are also in another.

    Two pictures are the same if their decoded pixels are, and their height and width.

    Args:
      dataset: :class:`hashnet_jax.data.dataset.Dataset`.
      by_content: whether to compare pictures, which decodes every image once.
      progress: an entered :class:`hashnet_jax.progress.Progress` counting images, or None; their
        number is :func:`n_compared`.

    Returns:
      ``{"query/train": {"same_image": int, "same_picture": int or None}, ...}`` of ``PAIRS``:
      how many images of the first part are in the second by index, and of how many the picture is
      in the second under another index (None if not compared).

    Examples:
      >>> from hashnet_jax.data.dataset import Dataset
      >>> from hashnet_jax.data.protocols import Split
      >>> from hashnet_jax.data.sources import ArraySource
      >>> images = np.array([7, 8, 7, 9], np.uint8).reshape(4, 1, 1, 1)
      >>> split = Split(query=[0], train=[1], database=[1, 2, 3])
      >>> overlaps(Dataset("four", ArraySource(images), np.zeros(4, int), ("one",), split))
      {'query/train': {'same_image': 0, 'same_picture': 0},
       'query/database': {'same_image': 0, 'same_picture': 1},
       'train/database': {'same_image': 1, 'same_picture': 0}}
    """
    picture = _pictures(dataset, progress) if by_content else None
    found = {}
    for a, b in PAIRS:
        part, other = getattr(dataset.split, a), getattr(dataset.split, b)
        shared = np.isin(part, other)
        same_picture = None
        if picture is not None:
            members = np.bincount(picture[other], minlength=len(picture))[picture[part]]
            # An image is not its own copy.
            same_picture = int(np.count_nonzero(members - shared > 0))
        found[f"{a}/{b}"] = {
            "same_image": int(np.count_nonzero(shared)),
            "same_picture": same_picture,
        }
    return found


def n_compared(dataset):
    """The number of images that :func:`overlaps` decodes."""
    return len(_compared(dataset.split))


def has_content(found):
    """Whether a result of :func:`overlaps` says anything about pictures."""
    return all(pair["same_picture"] is not None for pair in found.values())


def describe(found):
    """What a user should know of the result of :func:`overlaps`, in a sentence."""
    by_index = f"queries in the database: {found['query/database']['same_image']:,}"
    if not has_content(found):
        return f"{by_index}; copies under other names not looked for (--check-overlap always)"
    copies = {pair: f"{counts['same_picture']:,}" for pair, counts in found.items()}
    return (
        f"{by_index}; with a copy under another name: {copies['query/database']} queries in the "
        f"database, {copies['query/train']} in train"
    )


def _compared(split):
    return np.unique(np.concatenate([split.query, split.train, split.database]))


def _pictures(dataset, progress):
    """int64 ``[N]`` by index: the same number for the same picture; 0 where none was looked at."""

    def digest(index):
        image = dataset.source[index]
        content = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        content.update(np.ascontiguousarray(image))
        return content.digest()

    numbers = {}
    picture = np.zeros(len(dataset.source), np.int64)
    indices = _compared(dataset.split)
    # Decoders and hashes let other threads run.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # In blocks, so that an interruption waits for one of them only.
        for start in range(0, len(indices), _BLOCK):
            block = indices[start : start + _BLOCK]
            for index, content in zip(block, pool.map(digest, block), strict=True):
                picture[index] = numbers.setdefault(content, len(numbers))
            if progress is not None:
                progress.update(len(block))
    return picture
