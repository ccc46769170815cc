"""Reranks the codes that an index found, using the logits of the query."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from hashnet_jax.hamming import rescore


def rescored(
    found: Sequence[Sequence[tuple[int, int]]],
    logits: Float32[np.ndarray, "Q K"],
    codes: UInt8[np.ndarray, "N bytes"],
    k: int,
) -> tuple[list[list[tuple[int, int]]], list[list[float]]]:
    """Keeps the k codes with the highest scores ``<z, b>`` among those found for each query.

    The score of a code b is its inner product with the logits z of the query. Only the codes that
    were found are read.

    Args:
      found: for each query, pairs of a distance and the index i of a code, from
        :func:`hashnet_jax.index.nearest`.
      logits: the queries' logits, float32 ``[Q, K]``, all finite.
      codes: packed codes, uint8 ``[N, ceil(K/8)]``, see :func:`hashnet_jax.index.open_codes`.
      k: maximum number of codes to keep per query, >= 1.

    Returns:
      ``(found, scores)``: for each query, at most k pairs ``(distance, i)`` in order of decreasing
      score, with ties broken by i; and the scores of these pairs.

    Raises:
      ValueError: if a logit is not finite.

    Examples:
      >>> logits = np.array([[2.0, 0.5, 1.0]], np.float32)
      >>> codes = np.array([[0b01100000], [0b10100000]], np.uint8)
      >>> rescored([[(1, 0), (1, 1)]], logits, codes, 1)
      ([[(1, 1)]], [[2.5]])
    """
    # An approximate index finds fewer codes for some queries.
    width = max((len(row) for row in found), default=0)
    if width == 0:
        return [[] for _ in found], [[] for _ in found]
    rows = [[i for _, i in row] + [-1] * (width - len(row)) for row in found]
    # `ids` is sorted, so breaking ties by position in `ids` is the same as breaking them by i.
    ids = np.unique([i for row in found for _, i in row]).astype(np.int64)
    places = np.where(np.array(rows) < 0, -1, np.searchsorted(ids, rows))
    score, place = map(np.asarray, rescore(logits, codes[ids], places.reshape(-1, width)))
    order = [[int(ids[at]) for at in row[:k] if at >= 0] for row in place]
    distances = [{i: distance for distance, i in row} for row in found]
    kept = [[(by_id[i], i) for i in row] for by_id, row in zip(distances, order, strict=True)]
    return kept, [row[: len(ids)].tolist() for row, ids in zip(score, order, strict=True)]
