"""Builds the gallery of queries, sorted from worst to best, each with its top results."""

import dataclasses

import numpy as np
from jaxtyping import Int, Num

from hashnet_jax.data import Dataset
from hashnet_jax.report._finished_run import FinishedRun, label_ids
from hashnet_jax.report._thumbnails import Thumbnail, thumbnail

QUERIES, RESULTS = 12, 10
SIDE = 160  # pixels of a thumbnail's longest side


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image in the gallery.

    Attributes:
      index: index of the image in the data set's source.
      name: file name, or ``""`` if the data set has no names.
      image: thumbnail of the image.
      labels: names of the image's classes.
    """

    index: int
    name: str
    image: Thumbnail
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Result:
    """A retrieved image, its Hamming distance to the query, and whether it is a hit."""

    shown: Shown
    distance: int
    hit: bool


@dataclasses.dataclass(frozen=True)
class Query:
    """A query with its top results.

    Attributes:
      shown: the query image.
      average_precision: AP@R, averaged over all tie-breaking orders.
      results: top results, nearest first.
      ties: a sentence about ties with the last result shown.
    """

    shown: Shown
    average_precision: float
    results: tuple[Result, ...]
    ties: str


def gallery(run: FinishedRun, dataset: Dataset, *, seed: int = 0) -> list[Query]:
    """Selects queries from a run, worst first, each with its top ``RESULTS`` results.

    The queries are ranked by AP and split into ``QUERIES`` groups of equal size. The gallery shows
    the worst query of the first group, and a random query from each of the remaining groups. It
    therefore includes the worst failure, while the other queries show failures and successes in
    roughly their true proportions.

    Args:
      run: the finished run.
      dataset: the run's data set.
      seed: seed for selecting queries and breaking ties.

    Returns:
      At most ``QUERIES`` queries.
    """
    rng = np.random.default_rng(seed)
    ranked = np.argsort(run.average_precision.expected, kind="stable")
    parts = np.array_split(ranked, min(QUERIES, len(ranked)))
    # Break ties at random, because a database sorted by class would bias the results.
    tie_order = rng.permutation(len(run.database.codes))
    drawn = [int(rng.choice(part)) for part in parts]
    return [_query(run, dataset, query, tie_order) for query in (int(ranked[0]), *drawn[1:])]


def tie_note(distance: Int[np.ndarray, " N"], shown: Int[np.ndarray, " S"]) -> str:
    """Says whether the last result shown is tied with codes that are not shown.

    Args:
      distance: distances of all database codes to the query.
      shown: distances of the results shown, ascending.

    Returns:
      A sentence for the gallery.

    Examples:
      >>> tie_note(np.array([0, 1, 1, 1]), np.array([0, 1]))
      'Tie at distance 1: 1 of 3 images shown, chosen at random.'
      >>> tie_note(np.array([0, 1, 2]), np.array([0, 1]))
      'No tie at the last place.'
    """
    last = int(shown[-1])
    tied, places = int((distance == last).sum()), int((shown == last).sum())
    if tied == places:
        return "No tie at the last place."
    return f"Tie at distance {last}: {places} of {tied:,} images shown, chosen at random."


def _query(
    run: FinishedRun, dataset: Dataset, query: int, tie_order: Int[np.ndarray, " N"]
) -> Query:
    codes = run.query.codes[query] ^ run.database.codes
    distance = np.bitwise_count(codes).sum(axis=1, dtype=np.int64)
    first = np.lexsort((tie_order, distance))[:RESULTS]
    own = set(label_ids(run.query.labels[query]))
    results = tuple(
        Result(
            _shown(dataset, int(run.database.indices[row]), run.database.labels[row]),
            int(distance[row]),
            not own.isdisjoint(label_ids(run.database.labels[row])),
        )
        for row in first
    )
    return Query(
        _shown(dataset, int(run.query.indices[query]), run.query.labels[query]),
        float(run.average_precision.expected[query]),
        results,
        tie_note(distance, distance[first]),
    )


def _shown(dataset: Dataset, index: int, label: Num[np.ndarray, " C"] | np.integer) -> Shown:
    return Shown(
        index,
        dataset.names[index] if dataset.names else "",
        thumbnail(dataset.source[index], side=SIDE),
        tuple(dataset.classes[class_id] for class_id in label_ids(label)),
    )
