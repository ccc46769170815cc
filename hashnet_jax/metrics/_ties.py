"""Closed-form precision sums of groups of tied codes, and the distribution of hits at a cut-off.

A group consists of n codes at the same Hamming distance, r of them relevant, ranked after N codes
that include M hits. With H(a, b) = 1/(a+1) + ... + 1/b, the group contributes to
``sum_k P@k rel_k``:

    best      r - (N - M) H(N, N + r)                                   hits first
    worst     r - (N + n - r - M) H(N + n - r, N + n)                   hits last
    expected  r/n ((M + 1) H(N, N + n) + t (n - (N + 1) H(N, N + n))),  t = (r - 1)/(n - 1)

All arguments are NumPy or jax float arrays with integer values and broadcastable shapes; the
results have the same dtype. ``before`` is N, ``before_hits`` M, ``size`` n, and ``hits`` r.

References: McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently
in the Presence of Tied Scores", ECIR 2008, derive the expected sum.
"""

import numpy as np
from jaxtyping import Array, Float

from hashnet_jax.metrics._counts import array_namespace

# H(low, high) for 0..16. Each entry is summed directly, because the difference of two prefix sums
# would lose digits that float32 can represent.
_HARMONIC_TABLE = np.array(
    [[sum(1 / k for k in range(low + 1, high + 1)) for high in range(17)] for low in range(17)]
)

_Floats = Float[Array | np.ndarray, "..."]


def best_sum(before: _Floats, before_hits: _Floats, hits: _Floats) -> _Floats:
    """Returns the sum of the precisions at the hits of a group whose hits come first."""
    return hits - (before - before_hits) * harmonic_difference(before, before + hits)


def worst_sum(before: _Floats, before_hits: _Floats, size: _Floats, hits: _Floats) -> _Floats:
    """Returns the sum of the precisions at the hits of a group whose hits come last.

    Examples:
      >>> group = [np.array([float(x)]) for x in (0, 0, 2, 1)]
      >>> worst_sum(*group), expected_sum(*group)
      (array([0.5]), array([0.75]))
    """
    start = before + size - hits
    return hits - (start - before_hits) * harmonic_difference(start, before + size)


def expected_sum(before: _Floats, before_hits: _Floats, size: _Floats, hits: _Floats) -> _Floats:
    """Returns the expected sum of the precision at each hit of a group in random order.

    The sum is 0 for an empty group.
    """
    xp = array_namespace(before)
    slope = (hits - 1) / xp.maximum(size - 1, 1)
    harmonic = harmonic_difference(before, before + size)
    # Canceling large terms before scaling keeps float32 accurate to 1e-6.
    mean = (before_hits + 1) * harmonic + slope * (size - (before + 1) * harmonic)
    return hits / xp.maximum(size, 1) * mean


def harmonic_difference(low: _Floats, high: _Floats) -> _Floats:
    """Computes H(low, high) = 1/(low+1) + ... + 1/high to within the dtype's rounding error.

    The sum of the terms up to 1/16 is read from a table. For the rest, ln(k + 1/2) and an
    asymptotic series approximate the harmonic number H_k, and the difference of logarithms is a
    single ``log1p``. Subtracting two harmonic numbers directly would lose most digits in float32.

    Args:
      low, high: float arrays with integer values, 0 <= low <= high.

    Returns:
      An array of the same dtype, >= 0.

    Examples:
      >>> harmonic_difference(np.array([1.0, 99_999.0]), np.array([3.0, 100_000.0]))
      array([8.33333333e-01, 1.00000000e-05])
    """
    xp = array_namespace(low)
    in_table = tuple(xp.minimum(end, 16).astype(np.int32) for end in (low, high))
    a, b = xp.maximum(low, 16) + 0.5, xp.maximum(high, 16) + 0.5
    return (
        xp.asarray(_HARMONIC_TABLE, a.dtype)[in_table] + xp.log1p((b - a) / a) + _tail(b) - _tail(a)
    )


def hits_within(
    size: Float[Array | np.ndarray, "Q 1"],
    hits: Float[Array | np.ndarray, "Q 1"],
    inside: Float[Array | np.ndarray, "Q 1"],
    *,
    reach: int,
) -> tuple[Float[Array | np.ndarray, "Q counts"], Float[Array | np.ndarray, "Q counts"]]:
    """Computes the hypergeometric distribution of the number of hits in a group's first places.

    Probabilities are computed outward from the mode using ratios of neighboring terms, which
    neither overflow nor cancel, unlike quotients of factorials.

    Args:
      size: n, the group size, ``[Q, 1]``.
      hits: r, the number of relevant codes in the group, ``[Q, 1]``, in 0..n.
      inside: the number of places, from the start of the group, in which hits are counted,
        ``[Q, 1]``, in 0..n.
      reach: the largest distance of a returned count from the mode, >= 0. By Hoeffding's
        inequality, a count farther than ``t`` from the mean has probability below
        ``2 exp(-2 t**2 / inside)``.

    Returns:
      ``(counts, probabilities)``, both ``[Q, 2 reach + 1]``. The probabilities sum to 1 and are 0
      for impossible counts, which may be negative.

    Examples:
      >>> counts, probabilities = hits_within(
      ...     np.array([[4.0]]), np.array([[2.0]]), np.array([[2.0]]), reach=2)
      >>> counts, (6 * probabilities).round(9)
      (array([[-1.,  0.,  1.,  2.,  3.]]), array([[0., 1., 4., 1., 0.]]))
    """
    xp = array_namespace(size)
    misses = size - hits
    fewest, most = xp.maximum(inside - misses, 0), xp.minimum(inside, hits)
    mode = xp.clip(xp.floor((inside + 1) * (hits + 1) / (size + 2)), fewest, most)
    step = xp.arange(reach, dtype=size.dtype)[None, :]
    x = mode + step
    up = (hits - x) * (inside - x) / ((x + 1) * (misses - inside + x + 1))
    # Beyond the support, the ratios are meaningless and may be large. A parallel cumprod may
    # multiply them with each other first and overflow, and 0 times infinity is NaN.
    up = xp.cumprod(xp.where(x < most, up, 0), axis=1)
    x = mode - step
    down = x * (misses - inside + x) / ((hits - x + 1) * (inside - x + 1))
    down = xp.cumprod(xp.where(x > fewest, down, 0), axis=1)
    weights = xp.concatenate([down[:, ::-1], xp.ones_like(mode), up], axis=1)
    counts = mode + xp.arange(-reach, reach + 1, dtype=size.dtype)[None, :]
    return counts, weights / xp.sum(weights, axis=1, keepdims=True)


def _tail(x: _Floats) -> _Floats:
    """Computes H_k - ln x - Euler's constant at x = k + 1/2, accurate to 1e-15 for k >= 16."""
    y = 1 / (x * x)
    return y * (1 / 24 - y * (7 / 960 - y * (31 / 8064 - y * (127 / 30720 - y * 511 / 67584))))
