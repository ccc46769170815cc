"""Exact in-memory search of stores."""

import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8

from hashnet_jax.hamming import rescore, top_k
from hashnet_jax.index._popcount import nearest_rows, words_of
from hashnet_jax.index._snapshot import Snapshot

# From this many comparisons on (queries times 64-bit words), compiling `top_k` pays off.
COMPILED_FROM = 2**29

# The largest number of neighbours, as a fraction of the codes, at which `top_k` skips most of them.
_COMPILED_FRACTION = 1 / 100

# Row indices and their distances.
_Found = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]


class Neighbour(NamedTuple):
    """A picture found by a search.

    Attributes:
      distance: Hamming distance from the query.
      id: path to the picture.
      store: 0-based index of the picture's store in the list of searched stores.
      label: label of the picture, or None.
      code: packed code of the picture, ceil(K/8) bytes.
      score: ``<z, b>`` for the query's logits z and the picture's code b, or None without
        rescoring.
    """

    distance: int
    id: str
    store: int
    label: str | None
    code: bytes
    score: float | None = None


def search_snapshots(
    snapshots: Sequence[Snapshot],
    packed_queries: UInt8[np.ndarray, "Q bytes"],
    *,
    k: int | None = None,
    radius: int | None = None,
) -> list[list[Neighbour]]:
    """Finds the exact nearest neighbours of each query in one or more stores.

    Large searches for a few nearest pictures use :func:`hashnet_jax.hamming.top_k`, which is
    compiled for each number of queries and codes, and all others use NumPy. Both give the same
    result.

    Args:
      snapshots: snapshots of stores whose codes were computed by the same network, see
        :meth:`hashnet_jax.index.Store.snapshot`.
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``.
      k: maximum number of neighbours per query, >= 1; None for all pictures within the radius.
      radius: maximum distance, >= 0; None for no limit.

    Returns:
      The neighbours of each query in order of distance, with ties broken by id and then by store.

    Raises:
      ValueError: if ``k`` or ``radius`` is out of range, both are None, or the queries and the
        codes of the stores have different numbers of bytes.

    Examples:
      >>> search_snapshots([], np.zeros((1, 8), np.uint8), k=3)
      [[]]
    """
    check_limits(k, radius)
    merged: list[list[Neighbour]] = [[] for _ in packed_queries]
    for store, snapshot in enumerate(snapshots):
        check_width(packed_queries, snapshot.manifest.code_bytes)
        found = nearest_in(snapshot.codes, packed_queries, k=k, radius=radius)
        for neighbours, (rows, distances) in zip(merged, found, strict=True):
            neighbours += _neighbours(snapshot, store, rows, distances)
    return [nearest_first(neighbours, k) for neighbours in merged]


def check_limits(k: int | None, radius: int | None) -> None:
    """Raises a ValueError if ``k`` or ``radius`` is out of range, or both are None."""
    if k is None and radius is None:
        raise ValueError("pass `k` or `radius`, or both.")
    if k is not None and k < 1:
        raise ValueError(f"`k` must be >= 1, got {k}.")
    if radius is not None and radius < 0:
        raise ValueError(f"`radius` must be >= 0, got {radius}.")


def check_width(packed_queries: UInt8[np.ndarray, "Q bytes"], width: int) -> None:
    """Raises a ValueError unless each query has ``width`` bytes, like the codes in a store."""
    if packed_queries.shape[1] != width:
        raise ValueError(
            f"`packed_queries` must have {width} bytes per code, like the codes in the store, got "
            f"{packed_queries.shape[1]}."
        )


def nearest_first(neighbours: list[Neighbour], k: int | None) -> list[Neighbour]:
    """Returns the first k neighbours in order of distance, id and store."""
    return sorted(neighbours, key=operator.attrgetter("distance", "id", "store"))[:k]


def nearest_in(
    codes: UInt8[np.ndarray, "N bytes"],
    queries: UInt8[np.ndarray, "Q bytes"],
    *,
    k: int | None,
    radius: int | None,
) -> list[_Found]:
    """Finds the rows nearest to each query, and their distances, in order of (distance, row).

    For ``k`` and ``radius``, see :func:`search_snapshots`.
    """
    if not len(codes):
        return [(np.zeros(0, np.int64), np.zeros(0, np.int64)) for _ in queries]
    words = words_of(codes)
    is_large = len(queries) * words.size >= COMPILED_FROM
    if k is not None and is_large and k <= _COMPILED_FRACTION * len(codes):
        return _compiled(codes, queries, k, radius)
    return [nearest_rows(query, words, k=k, radius=radius) for query in words_of(queries)]


def rescore_neighbours(
    found: Sequence[Sequence[Neighbour]], logits: Float32[np.ndarray, "Q K"], k: int
) -> list[list[Neighbour]]:
    """Keeps the k pictures with the highest scores ``<z, b>`` among those found for each query.

    The score is the inner product of the query's logits z and the picture's code b.

    Args:
      found: the neighbours of each query, from :func:`search_snapshots` or
        :func:`hashnet_jax.index.search_tables`.
      logits: the queries' logits, float32 ``[Q, K]``, all finite.
      k: maximum number of pictures to keep per query, >= 1.

    Returns:
      For each query, at most k of its neighbours with their scores, in order of decreasing score,
      with ties broken by id and then by store.

    Raises:
      ValueError: if a logit is not finite.
    """
    by_id = sorted({(one.id, one.store): one.code for row in found for one in row}.items())
    if not by_id:
        return [[] for _ in found]
    place = {key: at for at, (key, _) in enumerate(by_id)}
    codes = np.frombuffer(b"".join(code for _, code in by_id), np.uint8).reshape(len(by_id), -1)
    width = max(map(len, found))
    places = [[place[one.id, one.store] for one in row] for row in found]
    padded = np.array([row + [-1] * (width - len(row)) for row in places])
    scores, order = map(np.asarray, rescore(logits, codes, padded))
    ranked = []
    for row, own, row_scores, row_order in zip(found, places, scores, order, strict=True):
        at = dict(zip(own, row, strict=True))
        pairs = zip(row_order[: min(k, len(row))].tolist(), row_scores.tolist(), strict=False)
        ranked.append([at[i]._replace(score=score) for i, score in pairs])
    return ranked


def _compiled(
    codes: UInt8[np.ndarray, "N bytes"],
    queries: UInt8[np.ndarray, "Q bytes"],
    k: int,
    radius: int | None,
) -> list[_Found]:
    found = []
    for distances, rows in zip(*map(np.asarray, top_k(queries, codes, k)), strict=True):
        kept = slice(None) if radius is None else distances <= radius
        found.append((rows[kept], distances[kept]))
    return found


def _neighbours(
    snapshot: Snapshot,
    store: int,
    rows: Int[np.ndarray, " n"],
    distances: Int[np.ndarray, " n"],
) -> list[Neighbour]:
    # pyarrow imports pandas, if it is installed, to convert a list or an array of rows for `take`.
    ids, labels = (
        [column[row].as_py() for row in rows.tolist()] for column in (snapshot.ids, snapshot.labels)
    )
    codes = map(bytes, snapshot.codes[rows])
    return list(map(Neighbour, distances.tolist(), ids, [store] * len(ids), labels, codes))
