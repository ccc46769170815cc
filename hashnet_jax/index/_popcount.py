"""Hamming distances computed in NumPy by XOR and population count, without compilation."""

import numpy as np
from jaxtyping import Int64, UInt8, UInt16, UInt64

_BYTES_PER_WORD = 8

# Codes compared at a time. 2**16 codes of 64 bits take half a megabyte.
_BLOCK = 2**16


def words_of(codes: UInt8[np.ndarray, "N bytes"]) -> UInt64[np.ndarray, "N W"]:
    """Converts packed codes to 64-bit words, padded with zeros.

    Args:
      codes: packed codes, uint8 ``[N, ceil(K/8)]``; not copied if they are contiguous and fill
        whole words.

    Returns:
      The words, uint64 ``[N, ceil(K/64)]``.
    """
    missing = -codes.shape[1] % _BYTES_PER_WORD
    padded = np.pad(codes, [(0, 0), (0, missing)]) if missing else np.ascontiguousarray(codes)
    return padded.view(np.uint64)


def distances_from(
    query: UInt64[np.ndarray, " W"], words: UInt64[np.ndarray, "N W"]
) -> UInt8[np.ndarray, " N"] | UInt16[np.ndarray, " N"]:
    """Computes the Hamming distances between one code and N others.

    Args:
      query: the code as words, i.e. one row of the output of :func:`words_of`.
      words: the N other codes as words, from :func:`words_of`.

    Returns:
      The distances, ``[N]`` in 0..K; uint8 if a code fits in one word, uint16 otherwise.

    Examples:
      >>> words = words_of(np.array([[0b1010], [0b1000]], np.uint8))
      >>> distances_from(words[0], words)
      array([0, 1], dtype=uint8)
    """
    if words.shape[1] == 1:
        return np.bitwise_count(words[:, 0] ^ query[0])
    total = np.zeros(len(words), np.uint16)
    for place in range(words.shape[1]):
        total += np.bitwise_count(words[:, place] ^ query[place])
    return total


def nearest_rows(
    query: UInt64[np.ndarray, " W"],
    words: UInt64[np.ndarray, "N W"],
    *,
    k: int | None = None,
    radius: int | None = None,
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Finds the k codes nearest to a query, all codes within a radius, or the k nearest of these.

    The codes are compared in blocks that fit in the cache of a core. Once k codes have been found,
    only codes that are strictly nearer than the k-th of them are looked at.

    Args:
      query: the query as words, i.e. one row of the output of :func:`words_of`.
      words: the N codes as words, from :func:`words_of`.
      k: maximum number of rows to return, >= 1; None for no limit.
      radius: maximum distance; None for no limit.

    Returns:
      ``(rows, distances)``, in order of increasing distance, with ties broken by row.

    Examples:
      >>> words = words_of(np.array([[7], [1], [3], [1]], np.uint8))
      >>> nearest_rows(words_of(np.zeros((1, 1), np.uint8))[0], words, k=3)
      (array([1, 3, 2]), array([1, 1, 2]))
      >>> nearest_rows(words_of(np.zeros((1, 1), np.uint8))[0], words, radius=1)
      (array([1, 3]), array([1, 1]))
    """
    limit = 64 * words.shape[1] if radius is None else radius
    rows, found = np.empty(0, np.int64), np.empty(0, np.int64)
    for start in range(0, len(words), _BLOCK):
        distances = distances_from(query, words[start : start + _BLOCK])
        if k is not None and start == 0 and k <= len(distances):
            limit = min(limit, _kth_smallest(distances, k))
        near = np.flatnonzero(distances <= limit)
        if not len(near):
            continue
        rows = np.concatenate([rows, start + near])
        found = np.concatenate([found, distances[near]])
        if k is not None and len(rows) >= k:
            order = np.argsort(found, kind="stable")[:k]
            rows, found = rows[order], found[order]
            # Of equal distances, those in earlier rows come first.
            limit = min(limit, int(found[-1]) - 1)
            if limit < 0:
                break
    order = np.argsort(found, kind="stable")
    return rows[order], found[order]


def _kth_smallest(distances: UInt8[np.ndarray, " N"] | UInt16[np.ndarray, " N"], k: int) -> int:
    """Returns the k-th smallest of at least k distances."""
    up_to = np.cumsum(np.bincount(distances))
    return int(np.searchsorted(up_to, k))
