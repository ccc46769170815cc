"""Exact search in a snapshot of the store, for one query at a time.

A service compares only a few queries at a time with codes that may change. faiss divides even such
a small search among all processors and waits for the slowest, which takes up to 10 ms on a busy
machine. :func:`hashnet_jax.hamming.top_k` is compiled again whenever the number of codes changes.
NumPy has neither drawback.
"""

import bisect

import numpy as np
from jaxtyping import Int64, UInt8

from hashnet_jax.index._popcount import nearest_rows, words_of
from hashnet_jax.index._snapshot import Snapshot


class Searcher:
    """Finds the nearest codes in a snapshot of a store.

    Args:
      snapshot: the snapshot to search.

    Attributes:
      snapshot: the snapshot.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._words = words_of(snapshot.codes)

    def __len__(self) -> int:
        return len(self.snapshot)

    def row(self, picture: str) -> int | None:
        """Returns the row index of a picture, or None if the picture is not in the snapshot."""
        ids = self.snapshot.ids
        row = bisect.bisect_left(range(len(self)), picture, key=lambda i: ids[i].as_py())
        return row if row < len(self) and ids[row].as_py() == picture else None

    def nearest(
        self, code: UInt8[np.ndarray, " bytes"], k: int
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Finds the k codes nearest to a query.

        Args:
          code: packed code of the query, uint8 ``[ceil(K/8)]``.
          k: maximum number of neighbours, >= 1.

        Returns:
          ``(distances, rows)``, both ``[min(k, N)]``, in order of increasing distance, with ties
          broken by row index, and therefore by id.
        """
        rows, distances = nearest_rows(words_of(code[None])[0], self._words, k=k)
        return distances, rows
