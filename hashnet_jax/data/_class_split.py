"""Splits single-label data sets class by class."""

import numpy as np
from jaxtyping import Integer

from hashnet_jax.data._dataset import (
    FILE_FIELDS,
    OWN_FILE_FIELDS,
    TOTAL_FIELDS,
    Options,
    reject_options,
)
from hashnet_jax.data.splits import PerClass, Pools, Split, per_class_split
from hashnet_jax.data.unseen_classes import unseen_class_split


def split_by_class(
    name: str,
    labels: Integer[np.ndarray, " N"],
    options: Options,
    pools: Pools | None = None,
    *,
    reads_files: bool = False,
) -> Split:
    """Splits a single-label data set, and rejects options that do not apply to it.

    Args:
      name: name of the data set, for error messages.
      labels: class ids ``[N]``.
      options: numbers of images per class, and the seed of the split.
      pools: see :func:`hashnet_jax.data.per_class_split`; ``queries_per_class`` may be None only
        if pools are given.
      reads_files: whether the data set can be read from ``image_root``.

    Raises:
      ValueError: if an option does not apply to single-label data, or a class is too small.
    """
    reject_options(
        name,
        options,
        TOTAL_FIELDS,
        "Set `queries_per_class`, `train_per_class` and `validation_per_class` instead",
    )
    reject_options(
        name,
        options,
        OWN_FILE_FIELDS if reads_files else FILE_FIELDS,
        "For your own pictures, use `dataset='lists'` or `dataset='folder'`",
    )
    if pools is None and options.queries_per_class is None:
        raise ValueError(
            f"{name} requires `queries_per_class`, got None. The usual protocol uses 100."
        )
    return draw_split(
        labels,
        options,
        queries=options.queries_per_class,
        train=options.train_per_class,
        pools=pools,
    )


def draw_split(
    labels: Integer[np.ndarray, " N"],
    options: Options,
    *,
    queries: PerClass,
    train: PerClass,
    pools: Pools | None = None,
) -> Split:
    """Splits single-label data using ``options`` and the given numbers of images per class."""
    if options.unseen_classes:
        return unseen_class_split(
            labels,
            unseen=options.unseen_classes,
            queries=queries,
            train=train,
            validation=options.validation_per_class,
            pools=pools,
            seed=options.split_seed,
        )
    return per_class_split(
        labels,
        queries=queries,
        train=train,
        validation=options.validation_per_class,
        train_in_database=options.train_in_database is not False,
        pools=pools,
        seed=options.split_seed,
    )
