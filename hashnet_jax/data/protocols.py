"""Protocols: which images are trained on, asked for (queries) and searched in (database).

Every draw is seeded, and no image is both query and database, or both query and training image,
unless that is allowed by name.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Indices into a data set's source, int64, each sorted and without repeats.

    Attributes:
      train: images that the network is trained on.
      query: images that are asked for.
      database: images that are searched in; may share images with ``train``, where the protocol
        says so.
      validation: images asked for while training, to choose a checkpoint: out of the database,
        never trained on and never queries.
      allow_overlap: whether queries may be in the database and in train, as in list files that
        others have published; not kept.

    Raises:
      ValueError: if a query is also in the database, in train (unless allowed) or in validation,
        if validation overlaps train, or if train, query or database is empty.

    Examples:
      >>> Split(train=[0, 1], query=[2], database=[1, 2])
      Traceback (most recent call last):
      ...
      ValueError: no image may be both query and database, got 1 (index 2).
    """

    train: np.ndarray
    query: np.ndarray
    database: np.ndarray
    validation: np.ndarray = ()
    allow_overlap: dataclasses.InitVar[bool] = False

    def __post_init__(self, allow_overlap):
        for field in dataclasses.fields(self):
            indices = np.unique(np.asarray(getattr(self, field.name), np.int64))
            object.__setattr__(self, field.name, indices)
            if not len(indices) and field.name != "validation":
                raise ValueError(f"{field.name} must hold at least one image, got none.")
        refused = [("query", "validation"), ("validation", "train")]
        if not allow_overlap:
            refused = [("query", "database"), ("query", "train"), *refused]
        for a, b in refused:
            shared = np.intersect1d(getattr(self, a), getattr(self, b))
            if len(shared):
                raise ValueError(
                    f"no image may be both {a} and {b}, got {len(shared)} (index {shared[0]})."
                )

    def sizes(self):
        """The number of images in each part, by name."""
        return {field.name: len(getattr(self, field.name)) for field in dataclasses.fields(self)}


def per_class_split(
    labels, *, queries, train, validation=0, train_in_database=True, pools=None, seed=0
):
    """Draws queries and training images of each class; the rest is the database.

    Args:
      labels: class ids ``[N]``.
      queries: queries of a class, or ``None`` for all images of the query pool; or
        ``{class id: number}``.
      train: training images of a class, at most; a class with fewer gives all it has; or
        ``{class id: number}``.
      validation: validation images of a class, at most, drawn from what is left of the database
        after the training images.
      train_in_database: whether training images are also searched in.
      pools: ``(database_pool, query_pool)``, index arrays where the protocol keeps the two apart;
        by default both are all images.
      seed: of the draw.

    Returns:
      :class:`Split`.

    Raises:
      ValueError: if a class has no more images than its queries.

    Examples:
      >>> labels = np.repeat([0, 1], 10)
      >>> per_class_split(labels, queries=2, train=3).sizes()
      {'train': 6, 'query': 4, 'database': 16, 'validation': 0}
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    everything = np.arange(len(labels))
    database_pool, query_pool = pools if pools is not None else (everything, everything)
    chosen = {"query": [], "train": [], "validation": []}
    for label in np.unique(labels[database_pool]):
        n_query, n_train = _of_class(queries, label), _of_class(train, label)
        candidates = rng.permutation(query_pool[labels[query_pool] == label])
        query = candidates if n_query is None else candidates[:n_query]
        rest = np.setdiff1d(database_pool[labels[database_pool] == label], query)
        if (n_query is not None and len(query) < n_query) or not len(rest):
            raise ValueError(
                f"class {label} must have more than {n_query} images to draw its queries, got "
                f"{len(query) + len(rest)}: ask for fewer queries a class."
            )
        rest = rng.permutation(rest)
        chosen["query"].append(query)
        chosen["train"].append(rest[:n_train])
        chosen["validation"].append([] if n_train is None else rest[n_train:][:validation])
    parts = {name: np.concatenate(indices) for name, indices in chosen.items()}
    database = np.setdiff1d(database_pool, parts["query"])
    if not train_in_database:
        database = np.setdiff1d(database, parts["train"])
    return Split(database=database, **parts)


def _of_class(number, label):
    return number[int(label)] if isinstance(number, dict) else number


def random_split(pool, *, queries, train, validation=0, train_in_database=True, seed=0):
    """Draws queries and training images from all images alike; the rest is the database.

    For multi-label data, where an image is of no one class to draw from.

    Args:
      pool: int ``[N]``, the indices to draw from, e.g. of the images that have a label.
      queries: number of queries.
      train: number of training images.
      validation: number of validation images, drawn from the database without the training
        images; they stay in it, so that its size is that of the protocol.
      train_in_database: whether training images are also searched in.
      seed: of the draw.

    Returns:
      :class:`Split`.

    Raises:
      ValueError: if there are not as many images, or none is left to search in.

    Examples:
      >>> random_split(np.arange(100), queries=20, train=30).sizes()
      {'train': 30, 'query': 20, 'database': 80, 'validation': 0}

    References:
      The protocol of NUS-WIDE and COCO in the HashNet paper: 5,000 queries, 10,000 training
      images out of the database, which is all but the queries.
    """
    pool = np.unique(np.asarray(pool, np.int64))
    wanted = queries + train + validation
    left = len(pool) - queries - (0 if train_in_database else train)
    if min(queries, train) < 1 or validation < 0 or wanted > len(pool) or left < 1:
        raise ValueError(
            "queries and training images must be at least 1 each, and with the validation images "
            f"leave one of the {len(pool):,} images to search in, got {queries:,} queries, "
            f"{train:,} training and {validation:,} validation images: ask for fewer with "
            "--queries, --train-images and --validation-images."
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
