"""Mean average precision, with its convention and its range over tie-breaking orders.

"MAP" is a family of metrics: the same rankings for 5,000 queries score .66 or .40 depending on the
divisor and on how queries without a hit are handled. With few distinct distances, the score also
depends on how ties are broken. Every result here therefore includes its convention and its range
over all ways of breaking ties.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from hashnet_jax.metrics._average_precision import AveragePrecision, average_precision
from hashnet_jax.metrics._counts import DistanceCounts, array_namespace

NO_HIT = ("zero", "drop")

_Scalar = float | Float[Array, ""] | Float[np.ndarray, ""]

# Conventions of common tools, according to their source code. They break ties arbitrarily (by
# argsort), so their results may lie anywhere between worst and best. No tool is listed for the
# divisor "cutoff", since we found none whose code divides the sum of precision at hits by R.
CONVENTIONS: dict[str, dict[str, str]] = {
    # thuml/HashNet, mean_average_precision in pytorch/src/test.py and the Caffe predict scripts.
    "hashnet-pytorch": {"divisor": "hits", "no_hit": "drop"},
    # swuxyj/DeepHash-pytorch, CalcTopMap in utils/tools.py. Its topK = -1, meant to select the
    # whole database, cuts off the last rank, so the cut-off is N - 1.
    "deephash-pytorch": {"divisor": "hits", "no_hit": "zero"},
    # torchmetrics.retrieval.RetrievalMAP(top_k=R) with its default empty_target_action="neg". Pass
    # positive scores only, since some versions drop scores of 0 or less.
    "torchmetrics": {"divisor": "hits", "no_hit": "zero"},
    # MeanAveragePrecision of the Google Landmarks challenges (R = 100) in tensorflow/models, delf.
    # It divides by zero for a query without a relevant image, which counts as 0 here.
    "google-landmarks": {"divisor": "min", "no_hit": "zero"},
    # sklearn.metrics.average_precision_score, averaged over queries, for the whole database
    # only. It counts a group of tied codes as one rank, so the two agree on rankings without ties.
    "scikit-learn": {"divisor": "hits", "no_hit": "zero"},
}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["worst", "expected", "best", "queries_without_hit"],
    meta_fields=["queries", "cutoff", "divisor", "no_hit"],
)
@dataclasses.dataclass(frozen=True)
class MeanAveragePrecision:
    """MAP@R over all tie-breaking orders, and the convention used to compute it; a pytree.

    Attributes:
      worst: the lowest value over all tie-breaking orders, in [0, 1], see
        :func:`mean_average_precision`.
      expected: the expected value over all orders, in [0, 1].
      best: the highest value over all orders, in [0, 1].
      queries_without_hit: the expected number of queries without a hit within R.
      queries: Q, the number of queries.
      cutoff: R, or ``None`` for the whole database.
      divisor: divisor of AP, ``"hits"``, ``"min"`` or ``"cutoff"``.
      no_hit: treatment of queries without a hit, ``"zero"`` or ``"drop"``.

    Examples:
      >>> result = MeanAveragePrecision(0.64, 0.6431, 0.646, 3.0, 5000, 1000, "hits", "zero")
      >>> print(result)  # doctest: +NORMALIZE_WHITESPACE
      MAP@1000 = 0.6431 (expected over ties; worst 0.6400, best 0.6460; divided by hits within R,
      queries without a hit count as 0: 3 of 5000)
    """

    worst: float | Float[Array, ""]
    expected: float | Float[Array, ""]
    best: float | Float[Array, ""]
    queries_without_hit: float | Float[Array, ""]
    queries: int
    cutoff: int | None
    divisor: str
    no_hit: str

    @property
    def convention(self) -> str:
        """Describes how MAP was computed: cut-off, ties, divisor, and queries without a hit."""
        divisor = {"hits": "hits within R", "min": "min(R, relevant)", "cutoff": "R"}[self.divisor]
        no_hit = {"zero": "count as 0", "drop": "are dropped"}[self.no_hit]
        return (
            f"MAP@{self.cutoff or 'all'}, expected over ties, divided by {divisor}, queries "
            f"without a hit {no_hit}"
        )

    def __str__(self) -> str:
        name, ties, rest = self.convention.split(", ", 2)
        return (
            f"{name} = {self.expected:.4f} ({ties}; worst {self.worst:.4f}, best {self.best:.4f}; "
            f"{rest}: {self.queries_without_hit:.6g} of {self.queries})"
        )


def mean_average_precision(
    counts: DistanceCounts,
    *,
    cutoff: int | None = None,
    divisor: str = "hits",
    no_hit: str = "zero",
) -> MeanAveragePrecision:
    """Computes the worst, expected and best MAP@R over all ways of breaking ties.

    MAP@R is the mean of AP@R over queries. ``worst`` and ``best`` are its lowest and highest values
    over all ways of breaking all ties of all queries; ``expected`` always lies between them.

    - With ``no_hit="zero"``, a query without a hit has AP 0, and ``expected`` is the mean of MAP
      over all ways of breaking ties.
    - With ``no_hit="drop"``, a query without a hit is dropped from the mean, so the number of
      queries averaged may depend on the ties. ``expected`` is the mean AP of a query with a hit:
      ``sum_q E[AP_q] / sum_q P(q has a hit)``. For ``worst`` (``best``), a query that may have no
      hit is dropped if that lowers (raises) the mean. All three values are NaN if no query can have
      a hit.

    Args:
      counts: :class:`DistanceCounts` of int ``[Q, K+1]``. For NumPy arrays, the result is float64
        and suitable for reported numbers. For jax arrays, it is computed on their device
        (optionally under ``jax.jit``) in float32, accurate to 1e-6.
      cutoff: R >= 1, or ``None`` for the whole database. Static under ``jax.jit``.
      divisor: divisor of AP, ``"hits"``, ``"min"`` or ``"cutoff"``, see :func:`average_precision`.
      no_hit: treatment of queries without a hit, ``"zero"`` or ``"drop"``.

    Returns:
      MAP@R and its convention, as a :class:`MeanAveragePrecision`.

    Raises:
      ValueError: if a shape or an option is invalid.
      TypeError: if the counts or ``cutoff`` are not integers.

    Examples:
      >>> counts = DistanceCounts(np.array([[1, 0]]), np.array([[2, 0]]))
      >>> result = mean_average_precision(counts, cutoff=1, **CONVENTIONS["hashnet-pytorch"])
      >>> print(result)  # doctest: +NORMALIZE_WHITESPACE
      MAP@1 = 1.0000 (expected over ties; worst 1.0000, best 1.0000; divided by hits within R,
      queries without a hit are dropped: 0.5 of 1)

    References:
      The HashNet authors' code uses ``divisor="hits", no_hit="drop"``; for the conventions of other
      tools, see ``hashnet_jax.metrics.CONVENTIONS``.
    """
    check_no_hit(no_hit)
    ap = average_precision(counts, cutoff=cutoff, divisor=divisor)
    return mean_over_queries(ap, cutoff=cutoff, divisor=divisor, no_hit=no_hit)


def check_no_hit(no_hit: str) -> None:
    """Raises a ValueError unless ``no_hit`` is one of ``NO_HIT``."""
    if no_hit not in NO_HIT:
        raise ValueError(f"`no_hit` must be one of {NO_HIT}, got {no_hit!r}.")


def mean_over_queries(
    ap: AveragePrecision, *, cutoff: int | None, divisor: str, no_hit: str
) -> MeanAveragePrecision:
    """Averages AP@R over queries; ``cutoff`` and ``divisor`` are those used to compute ``ap``."""
    xp = array_namespace(ap.expected)
    if no_hit == "zero":
        worst = xp.mean(xp.where(ap.may_miss, 0, ap.worst))
        expected, best = xp.mean(ap.expected), xp.mean(ap.best)
    else:
        worst, expected, best = _band_of_hit_queries(ap)
    missed = xp.sum(xp.where(ap.may_miss, 1 - ap.hit_probability, 0))
    if xp is np:
        worst, expected, best, missed = map(float, (worst, expected, best, missed))
    return MeanAveragePrecision(
        worst, expected, best, missed, len(ap.expected), cutoff, divisor, no_hit
    )


def _band_of_hit_queries(ap: AveragePrecision) -> tuple[Any, Any, Any]:
    """Returns the worst, expected and best MAP, leaving out queries without a hit."""
    xp = array_namespace(ap.expected)
    hit = xp.sum(ap.hit_probability)
    expected = xp.where(hit > 0, xp.sum(ap.expected) / xp.where(hit > 0, hit, 1), xp.nan)
    always, maybe = ~ap.may_miss, ap.may_miss & (ap.hit_probability > 0)
    return _lowest_mean(ap.worst, always, maybe), expected, -_lowest_mean(-ap.best, always, maybe)


def _lowest_mean(
    values: Float[Array | np.ndarray, " Q"],
    always: Bool[Array | np.ndarray, " Q"],
    maybe: Bool[Array | np.ndarray, " Q"],
) -> _Scalar:
    """Returns the lowest mean of all ``always`` values plus any subset of the ``maybe`` values."""
    xp = array_namespace(values)
    # The size-k subset with the lowest mean contains the k lowest values, so try every k.
    ranked = xp.sort(xp.where(maybe, values, xp.inf))
    chosen = xp.cumsum(xp.where(ranked < xp.inf, ranked, 0))
    base, n = xp.sum(xp.where(always, values, 0)), xp.sum(always)
    means = xp.where(ranked < xp.inf, (base + chosen) / (n + xp.arange(1, len(values) + 1)), xp.inf)
    lowest = xp.minimum(xp.min(means), xp.where(n > 0, base / xp.maximum(n, 1), xp.inf))
    return xp.where(lowest < xp.inf, lowest, xp.nan)
