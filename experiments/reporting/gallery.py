"""The gallery: queries from the worst to the best, each with its first results."""

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from reporting.finished_run import label_ids

QUERIES, RESULTS = 12, 10
# Pixels of side: larger pictures are shrunk to LARGEST; of those up to SMALL every pixel is shown.
LARGEST, SMALL = 96, 48


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """A picture of at most ``LARGEST`` pixels of side, inlined.

    Attributes:
      uri: a data URI.
      width, height: in pixels.
      pixelated: whether it is to be enlarged without smoothing, as it already was.
    """

    uri: str
    width: int
    height: int
    pixelated: bool


@dataclasses.dataclass(frozen=True)
class Result:
    """A result of a query; ``labels`` are names of classes, ``distance`` is Hamming's."""

    image: Thumbnail
    labels: tuple[str, ...]
    distance: int
    hit: bool


@dataclasses.dataclass(frozen=True)
class Query:
    """A query with its first results.

    Attributes:
      index: of its image in the data set's source.
      image: :class:`Thumbnail`.
      labels: names of its classes.
      average_precision: AP@R, expected over the orders of ties.
      results: of :class:`Result`, nearest first.
      ties: a sentence on the results' ties.
    """

    index: int
    image: Thumbnail
    labels: tuple[str, ...]
    average_precision: float
    results: tuple[Result, ...]
    ties: str


def gallery(run, dataset, *, seed=0):
    """Queries of a run with their first ``RESULTS`` results, worst query first.

    The queries are ranked by AP and cut into ``QUERIES`` parts of one size; one is drawn from
    each part. So the gallery shows failures and successes in their true proportion.

    Args:
      run: :class:`reporting.finished_run.FinishedRun`.
      dataset: :class:`hashnet_jax.data.dataset.Dataset`.
      seed: of the draw, and of the order of tied results.

    Returns:
      A list of at most ``QUERIES`` :class:`Query`.
    """
    rng = np.random.default_rng(seed)
    ranked = np.argsort(run.average_precision.expected, kind="stable")
    parts = np.array_split(ranked, min(QUERIES, len(ranked)))
    # Ties fall in this order: the database's own may be by class, and would flatter or harm.
    lot = rng.permutation(len(run.database.codes))
    return [_query(run, dataset, int(rng.choice(part)), lot) for part in parts]


def _query(run, dataset, query, lot):
    distance = np.bitwise_count(run.query.codes[query] ^ run.database.codes).sum(axis=1)
    first = np.lexsort((lot, distance))[:RESULTS]
    own = label_ids(run.query.labels[query])
    results = tuple(
        Result(
            thumbnail(dataset.source[int(run.database.indices[i])]),
            _names(dataset, run.database.labels[i]),
            int(distance[i]),
            not set(own).isdisjoint(label_ids(run.database.labels[i])),
        )
        for i in first
    )
    index = int(run.query.indices[query])
    return Query(
        index,
        thumbnail(dataset.source[index]),
        _names(dataset, run.query.labels[query]),
        float(run.average_precision.expected[query]),
        results,
        tie_note(distance, distance[first]),
    )


def tie_note(distance, shown):
    """A sentence on the images that are as near as the last one shown.

    Args:
      distance: int ``[N]``, of all codes of the database.
      shown: int ``[S]``, of those shown, ascending.

    Returns:
      The sentence.

    Examples:
      >>> tie_note(np.array([0, 1, 1, 1]), np.array([0, 1]))
      'Tie at distance 1: 1 of 3 images shown, by lot.'
      >>> tie_note(np.array([0, 1, 2]), np.array([0, 1]))
      'No tie at the last place.'
    """
    last = shown[-1]
    tied, places = int((distance == last).sum()), int((shown == last).sum())
    if tied == places:
        return "No tie at the last place."
    return f"Tie at distance {last}: {places} of {tied:,} images shown, by lot."


def thumbnail(image):
    """A :class:`Thumbnail` of a uint8 image ``[H, W, 3]``.

    Examples:
      >>> small = thumbnail(np.zeros((8, 8, 3), np.uint8))
      >>> small.uri[:22], small.width, small.pixelated
      ('data:image/png;base64,', 96, True)
      >>> large = thumbnail(np.zeros((300, 600, 3), np.uint8))
      >>> large.uri[:23], large.width, large.height
      ('data:image/jpeg;base64,', 96, 48)
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    small = max(picture.size) <= SMALL
    form = "png" if small else "jpeg"
    if small:
        # Here and not in the browser: printers smooth what they enlarge.
        scale = LARGEST // max(picture.size)
        picture = picture.resize([scale * side for side in picture.size], Image.Resampling.NEAREST)
    picture.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    picture.save(buffer, form, quality=85, optimize=True)
    uri = f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Thumbnail(uri, *picture.size, small)


def _names(dataset, label):
    return tuple(dataset.classes[i] for i in label_ids(label))
