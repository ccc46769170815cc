"""Splits the user's own pictures; the default split sizes depend on the number of pictures."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from hashnet_jax.data._class_split import draw_split
from hashnet_jax.data._dataset import (
    CLASS_FIELDS,
    TOTAL_FIELDS,
    UNSEEN_FIELDS,
    Options,
    reject_options,
)
from hashnet_jax.data.list_files import MAX_FAULTS_SHOWN
from hashnet_jax.data.splits import Split, random_split
from hashnet_jax.distributed.printing import printable

# By default, a tenth of the pictures become queries, up to these limits; all others are training
# images and form the database. More queries would cost training images without making MAP more
# precise.
MAX_DEFAULT_QUERIES_PER_CLASS = 100
MAX_DEFAULT_QUERIES = 5_000


def split_by_class(
    name: str, labels: Int64[np.ndarray, " N"], classes: Sequence[str], options: Options
) -> Split:
    """Splits single-label pictures of the data set ``name`` class by class.

    Raises:
      ValueError: if a total number of pictures is set instead of a number per class, or if a class
        is too small.
    """
    remedy = "Each picture has one label, so set the numbers per class instead"
    reject_options(name, options, TOTAL_FIELDS, remedy)
    counts = collections.Counter(labels.tolist())
    requested = options.queries_per_class
    queries = {
        label: min(max(1, count // 10), MAX_DEFAULT_QUERIES_PER_CLASS)
        if requested is None
        else requested
        for label, count in counts.items()
    }
    _check_class_sizes(counts, queries, classes, options)
    train = _train_per_class(counts, queries, options)
    return draw_split(labels, options, queries=queries, train=train)


def _check_class_sizes(
    counts: dict[int, int], queries: dict[int, int], classes: Sequence[str], options: Options
) -> None:
    """Raises a ValueError if queries and validation use up all pictures in a class."""
    held = options.validation_per_class
    small = [label for label in sorted(counts) if counts[label] <= queries[label] + held]
    if small:
        named = ", ".join(
            f"{printable(classes[label])} ({counts[label]})" for label in small[:MAX_FAULTS_SHOWN]
        )
        raise ValueError(
            "each class must have more pictures than queries "
            f"({options.queries_per_class or 'at least 1'}) and validation pictures ({held}) "
            f"combined, but there are too few in {len(small)} of {len(classes)} classes: {named}. "
            "Add pictures, remove these classes, or lower `queries_per_class` or "
            "`validation_per_class`."
        )


def _train_per_class(
    counts: dict[int, int], queries: dict[int, int], options: Options
) -> int | dict[int, int]:
    """Returns how many pictures per class to train on; by default, all that are not held out."""
    if options.train_per_class is not None:
        return options.train_per_class
    held = options.validation_per_class
    if options.unseen_classes:
        return {label: count - held for label, count in counts.items()}
    if options.train_in_database is False:
        raise ValueError(
            "`train_in_database=False` requires `train_per_class`. By default, all pictures except "
            "the queries are training images, which would leave none for the database."
        )
    return {label: count - queries[label] - held for label, count in counts.items()}


def split_in_total(name: str, labelled: Int64[np.ndarray, " n"], options: Options) -> Split:
    """Splits the pictures of the data set ``name`` indexed by ``labelled``, regardless of class.

    Raises:
      ValueError: if a number per class is set instead of a total, or if there are too few
        pictures.
    """
    remedy = "Pictures may have several labels, so set the totals instead"
    reject_options(name, options, CLASS_FIELDS, remedy)
    several = "A picture with several labels may have both seen and unseen ones"
    reject_options(name, options, UNSEEN_FIELDS, several)
    queries, train = options.queries, options.train_images
    if queries is None:
        queries = min(max(1, len(labelled) // 10), MAX_DEFAULT_QUERIES)
    if train is None:
        train = len(labelled) - queries - options.validation_images
    return random_split(
        labelled,
        queries=queries,
        train=train,
        validation=options.validation_images,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )
