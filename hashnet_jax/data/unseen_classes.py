"""Splits whose queries and database come from classes not seen in training.

This simulates searching among new kinds of images: the network is trained on some classes and
evaluated on others.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Integer

from hashnet_jax.data.splits import Indices, PerClass, Pools, Split, draw_queries, number_of_class
from hashnet_jax.distributed.printing import printable

# Maximum number of unseen classes to name in a note; the rest are only counted.
MAX_NAMES_SHOWN = 10


def unseen_class_split(
    labels: Indices,
    *,
    unseen: int,
    queries: PerClass,
    train: PerClass,
    validation: int = 0,
    pools: Pools | None = None,
    seed: int = 0,
) -> Split:
    """Draws the queries and the database from some classes, and training images from the others.

    The seed determines the unseen classes; with the same seed, a larger ``unseen`` adds classes but
    removes none. Validation images come from the seen classes, so no choice made during training
    can depend on unseen classes. Images of the seen classes that are neither training nor
    validation images are not used.

    Args:
      labels: class ids ``[N]``; the protocol is not defined for several labels per image.
      unseen: number of unseen classes, in 2..C-2 for C classes, so that both training and search
        involve at least two classes.
      queries: number of queries per unseen class, or ``{class id: number}``; None for the whole
        query pool. The unseen classes' other images in the database pool form the database.
      train: maximum number of training images per seen class, or ``{class id: number}``; None for
        all.
      validation: maximum number of validation images per seen class, drawn from the images that
        are not training images.
      pools: index arrays ``(database_pool, query_pool)``; see
        :func:`hashnet_jax.data.per_class_split`. Training images are drawn from the database pool.
      seed: seed for the classes and the images, >= 0.

    Returns:
      :class:`Split`.

    Raises:
      ValueError: if ``unseen`` is out of range, or an unseen class has no images besides its
        queries.

    Examples:
      >>> labels = np.repeat(np.arange(5), 10)
      >>> split = unseen_class_split(labels, unseen=2, queries=3, train=8)
      >>> split.sizes()
      {'train': 24, 'query': 6, 'database': 14, 'validation': 0}
      >>> np.intersect1d(labels[split.train], labels[split.database])
      array([], dtype=int64)
    """
    labels = np.asarray(labels)
    everything = np.arange(len(labels))
    database_pool, query_pool = pools if pools is not None else (everything, everything)
    classes = np.unique(labels[database_pool])
    if not 2 <= unseen <= len(classes) - 2:
        raise ValueError(
            f"`unseen_classes` must leave at least 2 classes for training and at least 2 for "
            f"queries and database, but got {unseen} of {len(classes)} classes."
        )
    rng = np.random.default_rng(seed)
    held_out = set(rng.permutation(classes)[:unseen].tolist())
    parts: dict[str, list[Int64[np.ndarray, " _"]]] = {
        name: [] for name in ("train", "query", "database", "validation")
    }
    for label in classes.tolist():
        own = rng.permutation(database_pool[labels[database_pool] == label])
        if label in held_out:
            query, rest = draw_queries(
                rng.permutation(query_pool[labels[query_pool] == label]),
                own,
                number=number_of_class(queries, label),
                label=label,
            )
            parts["query"].append(query)
            parts["database"].append(rest)
        else:
            number = number_of_class(train, label)
            n_train = len(own) if number is None else number
            parts["train"].append(own[:n_train])
            parts["validation"].append(own[n_train:][:validation])
    train_part, query, database, validated = map(np.concatenate, parts.values())
    return Split(train=train_part, query=query, database=database, validation=validated)


def describe_unseen(
    labels: Integer[np.ndarray, " N"], classes: Sequence[str], split: Split
) -> tuple[str, ...]:
    """Returns a note on the query and database classes if none of them occurs in training.

    Examples:
      >>> split = Split(train=[0, 1], query=[2], database=[3, 4])
      >>> describe_unseen(np.array([0, 0, 1, 1, 2]), ("cat", "dog", "owl"), split)
      ('queries and database: 2 classes unseen in training (dog, owl)',)
      >>> describe_unseen(np.array([0, 1, 1, 1, 2]), ("cat", "dog", "owl"), split)
      ()
    """
    searched = np.unique(labels[np.union1d(split.query, split.database)])
    if np.isin(labels[split.train], searched).any():
        return ()
    names = [printable(classes[label]) for label in map(int, searched[:MAX_NAMES_SHOWN])]
    more = len(searched) - len(names)
    shown = ", ".join(names) + (f" and {more} more" if more else "")
    return (f"queries and database: {len(searched)} classes unseen in training ({shown})",)
