"""Data sets defined by list files, which contain the split and the multi-hot labels."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from hashnet_jax.data._dataset import (
    CLASS_FIELDS,
    UNSEEN_FIELDS,
    Dataset,
    Options,
    reject_options,
)
from hashnet_jax.data.list_files import LIST_FILES, Lists, read_lists
from hashnet_jax.data.sources import FileSource
from hashnet_jax.data.splits import Split

_FIXED_BY_LISTS = (
    *CLASS_FIELDS,
    *UNSEEN_FIELDS,
    *("queries", "train_images", "train_in_database", "csv"),
)


def load(options: Options) -> Dataset:
    """Loads NUS-WIDE, or any data set in the list format used by HashNet and later work.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` with ``lists`` set.

    Returns:
      :class:`hashnet_jax.data.Dataset` with multi-hot labels, int8 ``[N, C]``.

    Raises:
      FileNotFoundError: if a list or an image is missing.
      ValueError: if a list is malformed, a query is also in the database or the training set
        (unless ``allow_overlap`` is set), or an option does not apply to list files.
    """
    if options.lists is None:
        raise ValueError(
            "the data set 'lists' requires `lists`, a folder with "
            f"{', '.join(LIST_FILES.values())}, but got None."
        )
    reject_options(
        "lists", options, _FIXED_BY_LISTS, "The list files define the split and the labels"
    )
    lists = read_lists(options.lists, options.image_root)
    notes = (*_describe_overlaps(lists, options), *_describe_lines(lists))
    split = Split(
        train=lists.train,
        query=lists.query,
        database=lists.database,
        validation=_draw_validation(lists, options),
        allow_overlap=options.allow_overlap,
    )
    classes = tuple(str(label) for label in range(lists.labels.shape[1]))
    return Dataset("lists", FileSource(lists.paths), lists.labels, classes, split, notes)


def _describe_overlaps(lists: Lists, options: Options) -> Iterator[str]:
    """Describes queries that are also in another list.

    Raises:
      ValueError: if there are such queries and ``options.allow_overlap`` is False.
    """
    for part, indices in (("database", lists.database), ("train", lists.train)):
        file = LIST_FILES[part]
        shared = np.intersect1d(lists.query, indices)
        if not len(shared):
            continue
        if not options.allow_overlap:
            raise ValueError(
                f"{LIST_FILES['query']} and {file} must not list the same images, but have "
                f"{len(shared):,} in common (first: {lists.paths[shared[0]]}). Remove them from "
                f"{file}, or allow them with `allow_overlap=True` (a query in the database then "
                "finds itself)."
            )
        yield f"images in both {LIST_FILES['query']} and {file}: {len(shared):,}"


def _describe_lines(lists: Lists) -> Iterator[str]:
    unlabelled = np.count_nonzero(~lists.labels.any(axis=1))
    if unlabelled:
        yield f"images without labels (not similar to any other image): {unlabelled:,}"
    if lists.repeated:
        yield f"lines that repeat an image listed earlier in the same file: {lists.repeated:,}"


def _draw_validation(lists: Lists, options: Options) -> Int64[np.ndarray, " n_validation"]:
    """Draws validation images from database images that are neither queries nor training images."""
    free = np.setdiff1d(lists.database, np.union1d(lists.query, lists.train))
    if options.validation_images > len(free):
        raise ValueError(
            f"`validation_images` must be at most {len(free):,}, the number of images that are "
            f"only in {LIST_FILES['database']}, got {options.validation_images}."
        )
    rng = np.random.default_rng(options.split_seed)
    return rng.permutation(free)[: options.validation_images]
