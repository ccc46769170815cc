"""Draws queries and training images concept by concept from images with several concepts each.

This is the protocol of the 21 most frequent concepts of NUS-WIDE: 100 queries and 500 training
images for each of them, 2,100 and 10,500 in total. An image that is drawn for one concept is not
drawn for another, although it is relevant to the queries of all its concepts.
"""

import numpy as np
from jaxtyping import Int8, Int64

from hashnet_jax.data._dataset import TOTAL_FIELDS, Options, reject_options
from hashnet_jax.data._total_split import reject_single_label
from hashnet_jax.data.splits import Split


def sizes_per_concept(name: str, options: Options, usual: str) -> tuple[int, int]:
    """Returns the numbers of queries and training images, before any of the data is read.

    Args:
      name: name of the data set, for error messages.
      options: the options, in which ``queries_per_class`` and ``train_per_class`` must be set.
      usual: the usual sizes, as the end of the error message.

    Raises:
      ValueError: if an option does not apply, or a size is not set.
    """
    fields = "Set `queries_per_class`, `train_per_class` and `validation_per_class` instead"
    reject_options(name, options, TOTAL_FIELDS, fields)
    reject_single_label(name, options)
    if options.queries_per_class is None or options.train_per_class is None:
        raise ValueError(
            f"{name} requires `queries_per_class` and `train_per_class`, got "
            f"{options.queries_per_class} and {options.train_per_class}. {usual}."
        )
    return options.queries_per_class, options.train_per_class


def split_by_concept(
    labels: Int8[np.ndarray, "N C"],
    concepts: tuple[str, ...],
    sizes: tuple[int, int],
    options: Options,
) -> Split:
    """Splits the images that have a label.

    Args:
      labels: multi-hot labels ``[N, C]``.
      concepts: names of the C concepts.
      sizes: numbers of queries and training images per concept, see :func:`sizes_per_concept`.
      options: all other options.

    Raises:
      ValueError: if a concept has too few images.
    """
    images = _Undrawn(labels, concepts, options.split_seed)
    query = images.draw(sizes[0], "queries_per_class")
    train = images.draw(sizes[1], "train_per_class")
    validation = images.draw(options.validation_per_class, "validation_per_class")
    database = np.setdiff1d(np.flatnonzero(labels.any(axis=1)), query)
    if options.train_in_database is False:
        database = np.setdiff1d(database, train)
    return Split(train=train, query=query, database=database, validation=validation)


class _Undrawn:
    """The images that have not been drawn yet."""

    def __init__(
        self, labels: Int8[np.ndarray, "N C"], concepts: tuple[str, ...], seed: int
    ) -> None:
        self._labels, self._concepts = labels.astype(bool), concepts
        self._is_free = np.ones(len(labels), bool)
        self._rng = np.random.default_rng(seed)

    def draw(self, number: int, option: str) -> Int64[np.ndarray, " n"]:
        """Draws images of each concept, of the rarest first: common ones can spare its images."""
        drawn = []
        for concept in np.argsort(self._labels.sum(axis=0), kind="stable"):
            candidates = np.flatnonzero(self._is_free & self._labels[:, concept])
            if len(candidates) < number:
                raise ValueError(
                    f"`{option}` must be at most the number of images of a concept that are not "
                    f"drawn yet, {len(candidates):,} for {self._concepts[concept]}, got {number:,}."
                )
            own = self._rng.permutation(candidates)[:number]
            self._is_free[own] = False
            drawn.append(own)
        return np.concatenate(drawn)
