"""Hamming distances computed in NumPy by XOR and population count, without compilation."""

import numpy as np
from jaxtyping import Int64, UInt8, UInt16, UInt64

_BYTES_PER_WORD = 8


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
    distances: UInt8[np.ndarray, " N"] | UInt16[np.ndarray, " N"],
    *,
    k: int | None = None,
    radius: int | None = None,
) -> Int64[np.ndarray, " n"]:
    """Selects the k nearest rows, the rows within a radius, or the k nearest rows within a radius.

    Args:
      distances: Hamming distances ``[N]``, from :func:`distances_from`.
      k: maximum number of rows to return; None for no limit.
      radius: maximum distance; None for no limit.

    Returns:
      The row indices in order of increasing distance, with ties broken by index.

    Examples:
      >>> nearest_rows(np.array([3, 1, 2, 1], np.uint8), k=3)
      array([1, 3, 2])
      >>> nearest_rows(np.array([3, 1, 2, 1], np.uint8), radius=1)
      array([1, 3])
    """
    limit = int(distances.max(initial=0)) if radius is None else radius
    if k is not None and k < len(distances):
        up_to = np.cumsum(np.bincount(distances))
        limit = min(limit, int(np.searchsorted(up_to, k)))
    rows = np.flatnonzero(distances <= limit)
    return rows[np.argsort(distances[rows], kind="stable")][:k]
