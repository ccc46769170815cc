"""Splits a data set into training images, queries and a database according to a protocol.

All random choices are seeded. Queries are never in the database or the training set, unless this
is explicitly allowed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import SupportsIndex

import numpy as np
from jaxtyping import Int64, Integer

Indices = Sequence[SupportsIndex] | Integer[np.ndarray, " _"]
Pools = tuple[Integer[np.ndarray, " n_database"], Integer[np.ndarray, " n_query"]]
# One number for all classes, or {class id: number}; None for all available images.
PerClass = int | Mapping[int, int] | None


@dataclasses.dataclass(frozen=True, init=False, eq=False)
class Split:
    """Indices into a data set's source, each part sorted and without duplicates.

    Args:
      train: training images.
      query: images whose neighbours are searched for.
      database: images to search; may overlap ``train`` if the protocol allows it.
      validation: images used as queries to choose a checkpoint during training, drawn from the
        database (with unseen classes, from the seen classes instead); not used for training, or as
        queries in the evaluation.
      allow_overlap: whether queries may be in the database and the training set, as in some
        published list files; not stored.

    Attributes:
      train, query, database, validation: sorted indices, int64.

    Raises:
      ValueError: if a query is also in the database or train (unless allowed) or in validation,
        if validation overlaps train, or if train, query or database is empty.

    Examples:
      >>> Split(train=[1, 0, 1], query=[2], database=[1]).train
      array([0, 1])
      >>> Split(train=[0, 1], query=[2], database=[1, 2])
      Traceback (most recent call last):
      ...
      ValueError: query and database must not overlap, but image 2 is in both (1 in total).
    """

    train: Int64[np.ndarray, " n_train"]
    query: Int64[np.ndarray, " n_query"]
    database: Int64[np.ndarray, " n_database"]
    validation: Int64[np.ndarray, " n_validation"]

    def __init__(
        self,
        train: Indices,
        query: Indices,
        database: Indices,
        validation: Indices = (),
        allow_overlap: bool = False,
    ) -> None:
        given = {"train": train, "query": query, "database": database, "validation": validation}
        parts = {name: np.unique(np.asarray(part, np.int64)) for name, part in given.items()}
        for name, part in parts.items():
            object.__setattr__(self, name, part)  # the dataclass is frozen
        _check_not_empty(parts)
        _check_disjoint(parts, allow_overlap)

    def parts(self) -> dict[str, Int64[np.ndarray, " _"]]:
        """Returns the indices of the images in each part, keyed by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def sizes(self) -> dict[str, int]:
        """Returns the number of images in each part, keyed by name."""
        return {name: len(part) for name, part in self.parts().items()}


def per_class_split(
    labels: Indices,
    *,
    queries: PerClass,
    train: PerClass,
    validation: int = 0,
    train_in_database: bool = True,
    pools: Pools | None = None,
    seed: int = 0,
) -> Split:
    """Draws queries and training images from each class; the rest is the database.

    Args:
      labels: class ids ``[N]``.
      queries: number of queries per class, or ``{class id: number}``; None for the whole query
        pool.
      train: maximum number of training images per class, or ``{class id: number}``; a class with
        fewer images contributes all of them. None for all images.
      validation: maximum number of validation images per class, drawn from the database images
        that are not training images.
      train_in_database: whether the database includes the training images.
      pools: index arrays ``(database_pool, query_pool)``, if the protocol separates them; by
        default both contain all images.
      seed: seed for the random split, >= 0.

    Returns:
      :class:`Split`.

    Raises:
      ValueError: if a class has no images besides its queries.

    Examples:
      >>> labels = np.repeat([0, 1], 10)
      >>> per_class_split(labels, queries=2, train=3).sizes()
      {'train': 6, 'query': 4, 'database': 16, 'validation': 0}
    """
    labels = np.asarray(labels)
    if not len(labels):
        raise ValueError("`labels` must not be empty.")
    rng = np.random.default_rng(seed)
    everything = np.arange(len(labels))
    database_pool, query_pool = pools if pools is not None else (everything, everything)
    drawn = []
    for label in np.unique(labels[database_pool]):
        query, rest = draw_queries(
            rng.permutation(query_pool[labels[query_pool] == label]),
            database_pool[labels[database_pool] == label],
            number=number_of_class(queries, label),
            label=label,
        )
        rest = rng.permutation(rest)
        n_train = len(rest) if (number := number_of_class(train, label)) is None else number
        drawn.append((query, rest[:n_train], rest[n_train:][:validation]))
    query, trained, validated = (np.concatenate(part) for part in zip(*drawn, strict=True))
    database = np.setdiff1d(database_pool, query)
    if not train_in_database:
        database = np.setdiff1d(database, trained)
    return Split(train=trained, query=query, database=database, validation=validated)


def random_split(
    pool: Indices,
    *,
    queries: int,
    train: int,
    validation: int = 0,
    train_in_database: bool = True,
    seed: int = 0,
) -> Split:
    """Draws queries and training images regardless of class; the rest is the database.

    This is meant for multi-label data, where an image may belong to several classes.

    Args:
      pool: indices to draw from, int ``[N]``, e.g. the labelled images.
      queries: number of queries, >= 1.
      train: number of training images, >= 1.
      validation: number of validation images, drawn from the database images that are not training
        images. Validation images remain in the database, since the protocol fixes the database
        size.
      train_in_database: whether the database includes the training images.
      seed: seed for the random split, >= 0.

    Returns:
      :class:`Split`.

    Raises:
      ValueError: if there are too few images, or none are left for the database.

    Examples:
      >>> random_split(np.arange(100), queries=20, train=30).sizes()
      {'train': 30, 'query': 20, 'database': 80, 'validation': 0}

    References:
      The protocol for NUS-WIDE and COCO in the HashNet paper: 5,000 queries; all other images form
      the database, from which 10,000 training images are drawn.
    """
    pool = np.unique(np.asarray(pool, np.int64))
    drawn = queries + train + validation
    left = len(pool) - queries - (0 if train_in_database else train)
    if min(queries, train) < 1 or validation < 0 or drawn > len(pool) or left < 1:
        raise ValueError(
            "there must be at least one query and one training image, and at least one of the "
            f"{len(pool):,} images must remain for the database, got {queries:,} queries, "
            f"{train:,} training and {validation:,} validation images. Lower `queries`, "
            "`train_images` or `validation_images`."
        )
    parts = np.split(
        np.random.default_rng(seed).permutation(pool),
        np.cumsum([queries, train, validation]),
    )
    query, trained, validated, rest = parts
    database = [rest, validated, trained] if train_in_database else [rest, validated]
    return Split(
        train=trained, query=query, database=np.concatenate(database), validation=validated
    )


def draw_queries(
    candidates: Integer[np.ndarray, " n_candidates"],
    database: Integer[np.ndarray, " n_database"],
    *,
    number: int | None,
    label: int | np.integer,
) -> tuple[Integer[np.ndarray, " n_query"], Integer[np.ndarray, " n_rest"]]:
    """Returns the first ``number`` candidates, and ``database`` without them."""
    query = candidates[:number]
    rest = np.setdiff1d(database, query)
    needed = len(query) if number is None else number
    if len(query) < needed or not len(rest):
        raise ValueError(
            f"class {label} must have more than {needed} images to draw its queries from, got "
            f"{len(query) + len(rest)}. Lower `queries_per_class`."
        )
    return query, rest


def number_of_class(numbers: PerClass, label: int | np.integer) -> int | None:
    """Returns the number of images to draw from a class, or None for all images."""
    return numbers[int(label)] if isinstance(numbers, Mapping) else numbers


def _check_not_empty(parts: Mapping[str, np.ndarray]) -> None:
    for name in ("train", "query", "database"):
        if not len(parts[name]):
            raise ValueError(f"{name} must contain at least one image.")


def _check_disjoint(parts: Mapping[str, np.ndarray], allow_overlap: bool) -> None:
    pairs = [("query", "validation"), ("validation", "train")]
    if not allow_overlap:
        pairs = [("query", "database"), ("query", "train"), *pairs]
    for a, b in pairs:
        shared = np.intersect1d(parts[a], parts[b])
        if len(shared):
            raise ValueError(
                f"{a} and {b} must not overlap, but image {shared[0]} is in both "
                f"({len(shared):,} in total)."
            )
