"""One group of ties: sums of precision over its orders, in closed form, and hits at a cut-off.

A group holds n codes at one Hamming distance, r of them relevant, ranked after N codes with M
hits. With H(a, b) = 1/(a+1) + ... + 1/b, its part of ``sum_k P@k rel_k`` is

    best      r - (N - M) H(N, N + r)                                   hits first
    worst     r - (N + n - r - M) H(N + n - r, N + n)                   hits last
    expected  r/n ((M + 1) H(N, N + n) + t (n - (N + 1) H(N, N + n))),  t = (r - 1)/(n - 1)

All arguments are float arrays of whole numbers, of shapes that broadcast, NumPy's or jax's; the
results have their dtype. Arguments in this order: ``before`` N, ``before_hits`` M, ``size`` n,
``hits`` r.

References: McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently
in the Presence of Tied Scores", ECIR 2008, derive the expected sum.
"""

import numpy as np

from hashnet_jax.counting import array_namespace

# H(low, high) for 0..16; not the difference of two prefix sums, which float32 would show.
_FIRST = np.array([[sum(1 / k for k in range(a + 1, b + 1)) for b in range(17)] for a in range(17)])


def best_sum(before, before_hits, hits):
    """The sum of a group whose hits come first."""
    return hits - (before - before_hits) * harmonic_difference(before, before + hits)


def worst_sum(before, before_hits, size, hits):
    """The sum of a group whose hits come last.

    Examples:
      >>> import numpy as np
      >>> group = [np.array([float(x)]) for x in (0, 0, 2, 1)]
      >>> worst_sum(*group), expected_sum(*group)
      (array([0.5]), array([0.75]))
    """
    start = before + size - hits
    return hits - (start - before_hits) * harmonic_difference(start, before + size)


def expected_sum(before, before_hits, size, hits):
    """The mean sum of a group over all its orders; 0 for an empty group."""
    xp = array_namespace(before)
    slope = (hits - 1) / xp.maximum(size - 1, 1)
    harmonic = harmonic_difference(before, before + size)
    # Grouped so that large terms cancel before they are scaled: float32 stays within 1e-6.
    mean = (before_hits + 1) * harmonic + slope * (size - (before + 1) * harmonic)
    return hits / xp.maximum(size, 1) * mean


def harmonic_difference(low, high):
    """H(low, high) = 1/(low+1) + ... + 1/high, to the relative rounding of the dtype.

    The sums of the first 16 terms are in a table. Beyond, ln(k + 1/2) and its asymptotic series
    stand for the harmonic number H_k, and the difference of logarithms is one ``log1p``: the
    difference of two prefix sums, each near 12, would have no correct digit left in float32.

    Args:
      low, high: float arrays of whole numbers, 0 <= low <= high.

    Returns:
      The same dtype, >= 0.

    Examples:
      >>> import numpy as np
      >>> harmonic_difference(np.array([1.0, 99_999.0]), np.array([3.0, 100_000.0]))
      array([8.33333333e-01, 1.00000000e-05])
    """
    xp = array_namespace(low)
    at = tuple(xp.minimum(end, 16).astype(np.int32) for end in (low, high))
    a, b = xp.maximum(low, 16) + 0.5, xp.maximum(high, 16) + 0.5
    return xp.asarray(_FIRST, a.dtype)[at] + xp.log1p((b - a) / a) + _tail(b) - _tail(a)


def hits_within(size, hits, inside, *, reach):
    """How many of a group's hits fall on its first places: the hypergeometric distribution.

    The probabilities grow from the mode outwards by the ratio of neighbours, which neither
    overflows nor cancels, unlike a quotient of factorials.

    Args:
      size: n ``[Q, 1]``.
      hits: r ``[Q, 1]``, in 0..n.
      inside: ``[Q, 1]``, how many places are looked at, in 0..n.
      reach: int >= 0; numbers up to so far from the mode are returned. By Hoeffding's inequality
        a number further than ``t`` from the mean has probability below ``2 exp(-2 t**2 / inside)``.

    Returns:
      ``(numbers, probabilities)``, both ``[Q, 2 reach + 1]``. The probabilities sum to 1 and are 0
      for numbers that cannot occur (which may be negative).

    Examples:
      >>> import numpy as np
      >>> numbers, probabilities = hits_within(
      ...     np.array([[4.0]]), np.array([[2.0]]), np.array([[2.0]]), reach=2)
      >>> numbers, (6 * probabilities).round(9)
      (array([[-1.,  0.,  1.,  2.,  3.]]), array([[0., 1., 4., 1., 0.]]))
    """
    xp = array_namespace(size)
    misses = size - hits
    fewest, most = xp.maximum(inside - misses, 0), xp.minimum(inside, hits)
    mode = xp.clip(xp.floor((inside + 1) * (hits + 1) / (size + 2)), fewest, most)
    step = xp.arange(reach, dtype=size.dtype)[None, :]
    x = mode + step
    up = (hits - x) * (inside - x) / ((x + 1) * (misses - inside + x + 1))
    # Beyond the support the ratios are meaningless and may be large: a parallel cumprod multiplies
    # them with each other first, and 0 times infinity would be NaN.
    up = xp.cumprod(xp.where(x < most, up, 0), axis=1)
    x = mode - step
    down = x * (misses - inside + x) / ((hits - x + 1) * (inside - x + 1))
    down = xp.cumprod(xp.where(x > fewest, down, 0), axis=1)
    weights = xp.concatenate([down[:, ::-1], xp.ones_like(mode), up], axis=1)
    numbers = mode + xp.arange(-reach, reach + 1, dtype=size.dtype)[None, :]
    return numbers, weights / xp.sum(weights, axis=1, keepdims=True)


def _tail(x):
    """H_k - ln x - Euler's constant at x = k + 1/2; for k >= 16 to 1e-15."""
    y = 1 / (x * x)
    return y * (1 / 24 - y * (7 / 960 - y * (31 / 8064 - y * (127 / 30720 - y * 511 / 67584))))
