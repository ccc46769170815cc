"""Chooses images for comparing settings without using any of the split's queries."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer

from hashnet_jax.data.splits import Split

# One in this many training images of each class is held out if there are no validation images.
HELD_OUT = 4


# Minimum number of classes to train on, and to hold out, so that there are similar and dissimilar
# pairs.
MIN_CLASSES = 2


class HeldOut(NamedTuple):
    """Indices of the images used to compare settings.

    Attributes:
      train: training images.
      query: images used as queries.
      database: images used as the database.
    """

    train: Int64[np.ndarray, " N"]
    query: Int64[np.ndarray, " Q"]
    database: Int64[np.ndarray, " M"]


def held_out(labels: Integer[np.ndarray, "N *C"], split: Split, *, seed: int = 0) -> HeldOut:
    """Selects images for comparing settings, excluding the split's queries.

    If the split has validation images, the validation images are the queries, and the training
    images are the database. Otherwise, a quarter of the training images of each class is drawn as
    queries, and the other training images are the database. For multi-label images, the quarter is
    drawn regardless of class.

    If no class in the split's database has training images, entire classes are held out instead, so
    that the same is true of the returned images. The fraction of training classes held out is about
    the fraction of all classes that are in the database. A quarter of the training images of each
    held-out class is used as queries, and the rest as the database.

    Args:
      labels: labels of all images, class ids ``[N]`` or multi-hot ``[N, C]``.
      split: the data set's split.
      seed: seed for choosing the classes that are held out.

    Raises:
      ValueError: if there are too few images or classes to hold any out.

    Examples:
      >>> labels = np.repeat(np.arange(2), 10)
      >>> split = Split(train=np.arange(4, 20), query=[0, 1], database=[2, 3])
      >>> [part.size for part in held_out(labels, split)]
      [13, 3, 13]
    """
    if has_unseen_classes(labels, split):
        return _held_out_classes(labels, split, seed)
    if len(split.validation):
        return HeldOut(split.train, split.validation, split.train)
    query, rest = _quarter(labels, split.train)
    return HeldOut(rest, query, rest)


def has_unseen_classes(labels: Integer[np.ndarray, "N *C"], split: Split) -> bool:
    """Returns True if no class in the database has training images.

    Returns False for multi-label data, for which unseen classes are not defined.
    """
    return labels.ndim == 1 and not len(np.intersect1d(labels[split.train], labels[split.database]))


def _held_out_classes(labels: Integer[np.ndarray, " N"], split: Split, seed: int) -> HeldOut:
    seen = np.unique(labels[split.train])
    unseen = len(np.unique(labels[split.database]))
    number = max(MIN_CLASSES, round(len(seen) * unseen / (len(seen) + unseen)))
    number = min(number, len(seen) - MIN_CLASSES)
    if number < MIN_CLASSES:
        raise ValueError(
            f"there must be at least {2 * MIN_CLASSES} classes with training images, so that "
            f"some can be held out, got {len(seen)}. Lower `unseen_classes`."
        )
    classes = np.random.default_rng(seed).permutation(seen)[:number]
    is_held_out = np.isin(labels[split.train], classes)
    query, database = _quarter(labels, split.train[is_held_out])
    return HeldOut(split.train[~is_held_out], query, database)


def _quarter(
    labels: Integer[np.ndarray, "N *C"], indices: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " q"], Int64[np.ndarray, " r"]]:
    """Draws a quarter of the images of each class; returns these images and the others."""
    labels = labels[indices]
    order = np.random.default_rng(0).permutation(len(labels))
    groups = [order]
    if labels.ndim == 1:
        groups = [order[labels[order] == label] for label in np.unique(labels)]
    chosen = np.sort(np.concatenate([group[: len(group) // HELD_OUT] for group in groups]))
    if not len(chosen):
        raise ValueError(
            f"at least one class must have at least {HELD_OUT} training images so that some can be "
            f"held out. Add images, or set `validation_per_class`."
        )
    return indices[chosen], np.delete(indices, chosen)
