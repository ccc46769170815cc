"""Evaluation of packed codes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Shaped, UInt8

from hashnet_jax.metrics._counts import DistanceCounts
from hashnet_jax.metrics._counts_device import distance_counts_blocks
from hashnet_jax.metrics._counts_host import distance_counts_host
from hashnet_jax.metrics._mean_average_precision import MeanAveragePrecision, mean_average_precision


class Evaluation(NamedTuple):
    """MAP, and the counts from which every other metric and curve can be computed."""

    mean_average_precision: MeanAveragePrecision
    counts: DistanceCounts


def evaluate(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    labels_q: Shaped[Array | np.ndarray, "Q *C"],
    labels_db: Shaped[Array | np.ndarray, "N *C"],
    *,
    bits: int,
    cutoff: int | None = None,
    divisor: str = "hits",
    no_hit: str = "zero",
    on_device: bool = False,
) -> Evaluation:
    """Computes MAP@R of packed codes, along with the underlying counts, in bounded memory.

    Args:
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``, see
        :func:`hashnet_jax.codes.pack_bits`.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: labels in the same format, ``[N]`` or ``[N, C]``.
      bits: K, the number of bits per code.
      cutoff: R >= 1, or ``None`` for the whole database.
      divisor: divisor of AP, ``"hits"``, ``"min"`` or ``"cutoff"``, see
        :func:`mean_average_precision`.
      no_hit: treatment of queries without a hit, ``"zero"`` or ``"drop"``, see
        :func:`mean_average_precision`.
      on_device: whether to count on jax's default device, in blocks, instead of on the host. If
        that device is a CPU, counting on the host is faster. The counts are the same either way.

    Returns:
      :class:`Evaluation`: MAP in float64, and the counts as NumPy arrays.

    Raises:
      TypeError: if packed codes are not uint8, or class ids or ``cutoff`` are not integers.
      ValueError: if the shapes do not match, an option is out of range, or a padding bit of the
        last byte is set, which usually means that ``bits`` is wrong.

    Examples:
      >>> codes = np.array([[0b11100000], [0b11000000], [0b11100000]], np.uint8)
      >>> result = evaluate(codes, codes, np.arange(3), np.arange(3), bits=3)
      >>> print(result.mean_average_precision)  # doctest: +NORMALIZE_WHITESPACE
      MAP@all = 0.8333 (expected over ties; worst 0.6667, best 1.0000; divided by hits within R,
      queries without a hit count as 0: 0 of 3)
    """
    count = distance_counts_blocks if on_device else distance_counts_host
    counts = count(packed_queries, packed_database, labels_q, labels_db, bits=bits)
    mean = mean_average_precision(counts, cutoff=cutoff, divisor=divisor, no_hit=no_hit)
    return Evaluation(mean, counts)
