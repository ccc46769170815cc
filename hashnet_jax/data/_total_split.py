"""Splits data sets with several labels per image, whose sizes are totals rather than per class."""

import numpy as np
from jaxtyping import Int8

from hashnet_jax.data._dataset import (
    CLASS_FIELDS,
    OWN_FILE_FIELDS,
    UNSEEN_FIELDS,
    Options,
    reject_options,
)
from hashnet_jax.data.splits import Split, random_split


def total_sizes(name: str, options: Options, usual: str) -> tuple[int, int]:
    """Returns the numbers of queries and training images, before any of the data is read.

    Args:
      name: name of the data set, for error messages.
      options: the options, in which ``queries`` and ``train_images`` must be set.
      usual: who uses which sizes, as the end of the error message, e.g. ``"The paper uses 5000 and
        10000"``.

    Raises:
      ValueError: if an option does not apply to multi-label data, or a size is not set.
    """
    totals = "Set the totals `queries`, `train_images` and `validation_images` instead"
    reject_options(name, options, CLASS_FIELDS, totals)
    reject_single_label(name, options)
    if options.queries is None or options.train_images is None:
        raise ValueError(
            f"{name} requires `queries` and `train_images`, got "
            f"{options.queries} and {options.train_images}. {usual}."
        )
    return options.queries, options.train_images


def reject_single_label(name: str, options: Options) -> None:
    """Rejects options that apply to no published data set with several labels per image."""
    several = "An image with several labels may have both seen and unseen ones"
    reject_options(name, options, UNSEEN_FIELDS, several)
    own = "For your own pictures, use `dataset='lists'` or `dataset='folder'`"
    reject_options(name, options, OWN_FILE_FIELDS, own)


def split_labelled(
    labels: Int8[np.ndarray, "N C"], sizes: tuple[int, int], options: Options
) -> Split:
    """Splits the images that have a label regardless of their labels.

    Args:
      labels: multi-hot labels ``[N, C]``.
      sizes: numbers of queries and training images, see :func:`total_sizes`.
      options: all other options.

    Raises:
      ValueError: if there are too few images.
    """
    queries, train = sizes
    return random_split(
        np.flatnonzero(labels.any(axis=1)),
        queries=queries,
        train=train,
        validation=options.validation_images,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )


def describe_unlabelled(labels: Int8[np.ndarray, "N C"]) -> str:
    """Returns a note with the number of images that have no label."""
    return f"unlabelled images left out: {np.count_nonzero(~labels.any(axis=1)):,}"
