"""Mean average precision with its tie band and its convention, and the evaluation of packed codes.

"MAP" is a family: the same ranking of 5,000 queries scores .66 or .40 by the divisor and by what
becomes of queries without a hit, and codes with few distinct distances score whatever the order
of ties makes of them. So a result here carries its convention, and the band over all tie orders.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from hashnet_jax.average_precision import average_precision
from hashnet_jax.counting import DistanceCounts, array_namespace, distance_counts_blocks
from hashnet_jax.counting_host import distance_counts_host

NO_HIT = ("zero", "drop")

# What the tools of the field compute, by reading their code; they break ties arbitrarily (by
# argsort), so that their number lies anywhere between worst and best. For the divisor "cutoff" no
# tool is named: none was found whose code divides the sum of precision at hits by R.
CONVENTIONS = {
    # thuml/HashNet, mean_average_precision in pytorch/src/test.py and the Caffe predict scripts.
    "hashnet-pytorch": {"divisor": "hits", "no_hit": "drop"},
    # swuxyj/DeepHash-pytorch, CalcTopMap in utils/tools.py. Its topK = -1, meant as the whole
    # database, slices the last rank away: cutoff N - 1.
    "deephash-pytorch": {"divisor": "hits", "no_hit": "zero"},
    # torchmetrics.retrieval.RetrievalMAP(top_k=R) as it comes, empty_target_action="neg"; with
    # positive scores only, as some of its versions leave out what scores 0 or less.
    "torchmetrics": {"divisor": "hits", "no_hit": "zero"},
    # MeanAveragePrecision of the Google Landmarks challenges (R = 100) in tensorflow/models, delf;
    # it divides by zero for a query without a relevant image, which counts 0 here.
    "google-landmarks": {"divisor": "min", "no_hit": "zero"},
    # sklearn.metrics.average_precision_score, averaged over queries; the whole database only. It
    # counts a group of ties as one rank: equal on rankings without ties.
    "scikit-learn": {"divisor": "hits", "no_hit": "zero"},
}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["worst", "expected", "best", "queries_without_hit"],
    meta_fields=["queries", "cutoff", "divisor", "no_hit"],
)
@dataclasses.dataclass(frozen=True)
class MeanAveragePrecision:
    """MAP@R over the orders of ties, with the convention it was computed by; a pytree.

    Attributes:
      worst, expected, best: in [0, 1], see :func:`mean_average_precision`.
      queries_without_hit: the expected number of queries without a hit within R.
      queries: Q, how many there are.
      cutoff: R, or ``None`` for the whole database.
      divisor: ``"hits"``, ``"min"`` or ``"cutoff"``.
      no_hit: ``"zero"`` or ``"drop"``.

    Examples:
      >>> result = MeanAveragePrecision(0.64, 0.6431, 0.646, 3.0, 5000, 1000, "hits", "zero")
      >>> print(result)  # doctest: +NORMALIZE_WHITESPACE
      MAP@1000 = 0.6431 (ties expected; worst 0.6400, best 0.6460; divided by hits within R,
      no-hit queries 0: 3 of 5000)
    """

    worst: Any
    expected: Any
    best: Any
    queries_without_hit: Any
    queries: int
    cutoff: int | None
    divisor: str
    no_hit: str

    @property
    def convention(self):
        """What the number is: cut-off, ties, divisor and queries without a hit, as text."""
        by = {"hits": "hits within R", "min": "min(R, relevant)", "cutoff": "R"}[self.divisor]
        no_hit = {"zero": "0", "drop": "dropped"}[self.no_hit]
        return (
            f"MAP@{self.cutoff or 'all'}, ties expected, divided by {by}, no-hit queries {no_hit}"
        )

    def __str__(self):
        name, ties, rest = self.convention.split(", ", 2)
        return (
            f"{name} = {self.expected:.4f} ({ties}; worst {self.worst:.4f}, best {self.best:.4f}; "
            f"{rest}: {self.queries_without_hit:.6g} of {self.queries})"
        )


def mean_average_precision(counts, *, cutoff=None, divisor="hits", no_hit="zero"):
    """MAP@R: the mean over queries of AP@R, as worst, expected and best over the orders of ties.

    ``worst`` and ``best`` are the lowest and the highest value that any order of the ties of all
    queries gives, ``expected`` always lies between them:

    - With ``no_hit="zero"`` an order without a hit gives a query AP 0, and ``expected`` is the
      mean of MAP over all orders.
    - With ``no_hit="drop"`` such an order takes the query out of the mean, so that the orders
      differ in how many queries they average. ``expected`` is the mean AP of a hit query:
      ``sum_q E[AP_q] / sum_q P(q has a hit)``. For ``worst`` and ``best`` the queries that an
      order may drop are dropped if that lowers, or raises, the mean. All are NaN if no query can
      have a hit.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``: NumPy for the form to report (float64),
        jax arrays to compute on their device (float32, accurate to 1e-6), under ``jax.jit`` too.
      cutoff: R >= 1, or ``None`` for the whole database. Static under ``jax.jit``.
      divisor: ``"hits"``, ``"min"`` or ``"cutoff"``, see :func:`average_precision`.
      no_hit: ``"zero"`` or ``"drop"``.

    Returns:
      :class:`MeanAveragePrecision`.

    Raises:
      ValueError, TypeError: as :func:`average_precision`, and for another ``no_hit``.

    Examples:
      >>> counts = DistanceCounts(np.array([[1, 0]]), np.array([[2, 0]]))
      >>> result = mean_average_precision(counts, cutoff=1, **CONVENTIONS["hashnet-pytorch"])
      >>> print(result)  # doctest: +NORMALIZE_WHITESPACE
      MAP@1 = 1.0000 (ties expected; worst 1.0000, best 1.0000; divided by hits within R,
      no-hit queries dropped: 0.5 of 1)

    References:
      The authors' code is ``divisor="hits", no_hit="drop"``; others are in :data:`CONVENTIONS`.
    """
    if no_hit not in NO_HIT:
        raise ValueError(f"no_hit must be one of {NO_HIT}, got {no_hit!r}.")
    ap = average_precision(counts, cutoff=cutoff, divisor=divisor)
    xp = array_namespace(ap.expected)
    if no_hit == "zero":
        band = (xp.mean(xp.where(ap.may_miss, 0, ap.worst)), xp.mean(ap.expected), xp.mean(ap.best))
    else:
        band = _band_of_hit_queries(ap)
    missed = xp.sum(xp.where(ap.may_miss, 1 - ap.hit_probability, 0))
    if xp is np:
        band, missed = tuple(map(float, band)), float(missed)
    return MeanAveragePrecision(*band, missed, len(counts.total), cutoff, divisor, no_hit)


class Evaluation(NamedTuple):
    """What :func:`evaluate` returns; the counts give every other metric and curve."""

    mean_average_precision: MeanAveragePrecision
    counts: DistanceCounts


def evaluate(
    packed_queries,
    packed_database,
    labels_q,
    labels_db,
    *,
    bits,
    cutoff=None,
    divisor="hits",
    no_hit="zero",
    on_device=False,
):
    """MAP@R of packed codes, and the counts it came from, in bounded memory.

    Args:
      packed_queries: uint8 ``[Q, ceil(K/8)]``, see :func:`hashnet_jax.hamming.pack_bits`.
      packed_database: uint8 ``[N, ceil(K/8)]``.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: the same form, ``[N]`` or ``[N, C]``.
      bits: K, the number of bits of a code.
      cutoff, divisor, no_hit: as :func:`mean_average_precision`.
      on_device: count on jax's default device, in blocks; else with NumPy on the host, which is
        faster where that device is a CPU. The counts, and so all results, are the same.

    Returns:
      :class:`Evaluation`: MAP in float64, and the counts as NumPy arrays.

    Raises:
      TypeError, ValueError: as :func:`mean_average_precision` and
        :func:`hashnet_jax.counting.distance_counts`.

    Examples:
      >>> codes = np.array([[0b11100000], [0b11000000], [0b11100000]], np.uint8)
      >>> result = evaluate(codes, codes, np.arange(3), np.arange(3), bits=3)
      >>> print(result.mean_average_precision)  # doctest: +NORMALIZE_WHITESPACE
      MAP@all = 0.8333 (ties expected; worst 0.6667, best 1.0000; divided by hits within R,
      no-hit queries 0: 0 of 3)
    """
    count = distance_counts_blocks if on_device else distance_counts_host
    counts = count(packed_queries, packed_database, labels_q, labels_db, bits=bits)
    mean = mean_average_precision(counts, cutoff=cutoff, divisor=divisor, no_hit=no_hit)
    return Evaluation(mean, counts)


def _band_of_hit_queries(ap):
    xp = array_namespace(ap.expected)
    hit = xp.sum(ap.hit_probability)
    expected = xp.where(hit > 0, xp.sum(ap.expected) / xp.where(hit > 0, hit, 1), xp.nan)
    always, maybe = ~ap.may_miss, ap.may_miss & (ap.hit_probability > 0)
    return _lowest_mean(ap.worst, always, maybe), expected, -_lowest_mean(-ap.best, always, maybe)


def _lowest_mean(values, always, maybe):
    """The lowest mean of the values that count always and any choice of those that may count."""
    xp = array_namespace(values)
    # The lowest choice of k values is the k lowest: try every k.
    ranked = xp.sort(xp.where(maybe, values, xp.inf))
    chosen = xp.cumsum(xp.where(ranked < xp.inf, ranked, 0))
    base, n = xp.sum(xp.where(always, values, 0)), xp.sum(always)
    means = xp.where(ranked < xp.inf, (base + chosen) / (n + xp.arange(1, len(values) + 1)), xp.inf)
    lowest = xp.minimum(xp.min(means), xp.where(n > 0, base / xp.maximum(n, 1), xp.inf))
    return xp.where(lowest < xp.inf, lowest, xp.nan)
