"""Per-distance counts: everything that retrieval metrics need from a ranking by Hamming distance.

Hamming distance has only K + 1 values, so, up to ties, two histograms describe the ranking of N
codes for one query: how many codes lie at each distance, and how many of them are relevant. Every
metric in this package is a function of these counts. They need no sorting, do not change when the
database is shuffled, and need Q * (K + 1) elements instead of Q * N.

A database image is relevant to a query if the two share at least one label.
"""

import dataclasses
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer

from hashnet_jax.codes import visible_values


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DistanceCounts:
    """Counts of database codes at each distance from each query; a pytree.

    Counts for two parts of a database can be added (``a + b``), and counts for blocks of queries
    can be concatenated (:meth:`concatenate`).

    Attributes:
      relevant: int32 ``[Q, K+1]``, the number of relevant codes at each distance 0..K.
      total: int32 ``[Q, K+1]``, the total number of codes at each distance 0..K.

    Examples:
      >>> near = DistanceCounts(np.array([[1, 0]], np.int32), np.array([[1, 1]], np.int32))
      >>> (near + near).total
      array([[2, 2]], dtype=int32)
      >>> DistanceCounts.concatenate([near, near]).relevant.shape
      (2, 2)
    """

    relevant: Integer[Array | np.ndarray, "Q distances"]
    total: Integer[Array | np.ndarray, "Q distances"]

    def __add__(self, other: "DistanceCounts") -> "DistanceCounts":
        # Different shapes would be broadcast.
        if np.shape(self.total) != np.shape(other.total):
            raise ValueError(
                "only counts for the same queries and number of bits can be added, but got shapes "
                f"{np.shape(self.total)} and {np.shape(other.total)}."
            )
        return DistanceCounts(self.relevant + other.relevant, self.total + other.total)

    @staticmethod
    def concatenate(blocks: Iterable["DistanceCounts"]) -> "DistanceCounts":
        """Concatenates the counts for consecutive blocks of queries."""
        blocks = list(blocks)
        if not blocks:
            raise ValueError("`blocks` must contain the counts of at least one block, got none.")
        xp = array_namespace(blocks[0].total)
        return DistanceCounts(
            xp.concatenate([block.relevant for block in blocks]),
            xp.concatenate([block.total for block in blocks]),
        )


def array_namespace(array: Any) -> ModuleType:
    """Returns ``jax.numpy`` for a jax array (including a tracer), else ``numpy``.

    Every metric has one implementation, which uses this namespace. NumPy counts give float64
    results, which should be used for reported numbers; jax counts give jax's default float
    (float32).
    """
    return jnp if isinstance(array, jax.Array) else np


def split_counts(
    counts: Int32[Array, "Q 2 distances"] | Int32[np.ndarray, "Q 2 distances"],
) -> DistanceCounts:
    """Converts counts of irrelevant and relevant codes to :class:`DistanceCounts`."""
    return DistanceCounts(relevant=counts[:, 1], total=counts.sum(axis=1, dtype=np.int32))


def check_counts(counts: DistanceCounts) -> None:
    """Checks that ``counts`` are integer arrays of the same shape ``[Q, K+1]`` with Q >= 1.

    The values must satisfy 0 <= relevant <= total; traced values are not checked.
    """
    shapes = np.shape(counts.relevant), np.shape(counts.total)
    if len(shapes[0]) != 2 or shapes[0] != shapes[1] or 0 in shapes[0]:
        raise ValueError(
            "`counts.relevant` and `counts.total` must both be [Q, K+1] with at least one query, "
            f"but got {shapes[0]} and {shapes[1]}."
        )
    for name, array in (("relevant", counts.relevant), ("total", counts.total)):
        if not jnp.issubdtype(array.dtype, jnp.integer):
            raise TypeError(
                f"`counts.{name}` must have an integer dtype, got {array.dtype}. Pass counts, not "
                "fractions."
            )
    relevant, total = visible_values(counts.relevant), visible_values(counts.total)
    if relevant is not None and total is not None:
        _check_values(relevant, total)


def _check_values(
    relevant: Integer[np.ndarray, "Q distances"], total: Integer[np.ndarray, "Q distances"]
) -> None:
    wrong = (relevant < 0) | (relevant > total)
    if wrong.any():
        query, distance = np.unravel_index(np.argmax(wrong), wrong.shape)
        raise ValueError(
            "`counts` must satisfy 0 <= relevant <= total, but "
            f"query {query} has {relevant[query, distance]} relevant codes out of "
            f"{total[query, distance]} at distance {distance}."
        )
