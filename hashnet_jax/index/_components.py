"""Finds connected components of codes; two codes are linked if they differ in at most R bits."""

import contextlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

from hashnet_jax.distributed.progress import Progress
from hashnet_jax.index._popcount import words_of

# Comparing two codes with equal keys takes about this many times as long as comparing a pair of
# codes when all pairs are compared.
_COST_OF_KEYS = 3

# Number of linked pairs to collect before components are merged, which takes O(N) time.
_PAIRS_PER_MERGE = 2**20

# Progress is shown from this many pairs on. Comparing fewer takes at most a second or two.
_SHOWN_FROM = 2**24

# Odd, so that keys of several words collide no more often than by chance.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

_Words = UInt64[np.ndarray, "U W"]
_Keys = UInt64[np.ndarray, " U"]
_Pairs = tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]


def components(
    codes: UInt8[np.ndarray, "N bytes"], bits: int, radius: int
) -> Int64[np.ndarray, " N"]:
    """Assigns each code the number of its connected component.

    If two codes differ in at most R bits, and the bits are divided into R + 1 parts, then the codes
    are equal in at least one part. Therefore only codes that are equal in some part are compared.
    With R + 1 parts of b bits each, about (R + 1) U^2 / 2^b pairs of the U distinct codes are
    compared if the bits are independent, and more if the codes form clusters. If there are too many
    such pairs, because R is large or the bits of a part are nearly constant, all U^2 / 2 pairs are
    compared instead. Memory use is O(N), regardless of the number of links.

    Args:
      codes: packed codes, uint8 ``[N, ceil(K/8)]``.
      bits: K, the number of bits per code.
      radius: R >= 0; codes that differ in at most R bits are linked.

    Returns:
      The component number of each code. Two codes have the same number if a chain of links connects
      them.

    Examples:
      >>> components(np.array([[0], [0b00100000], [0b01100000], [0b11100000]], np.uint8), 3, 1)
      array([0, 0, 0, 0])
      >>> components(np.array([[0], [0b11000000], [0b11100000]], np.uint8), 3, 1)
      array([0, 1, 1])
    """
    distinct, place = np.unique(codes, axis=0, return_inverse=True)
    labels = np.arange(len(distinct))
    if radius > 0 and len(distinct) > 1:
        for first, second in _gathered(_linked(words_of(distinct), bits, radius)):
            labels = _merged(labels, labels[first], labels[second])
    return labels[place.reshape(-1)]


def _linked(words: _Words, bits: int, radius: int) -> Iterator[_Pairs]:
    """Yields all pairs of linked codes, some of them more than once."""
    masks = _masks(bits, radius + 1) if radius < bits else []
    total = sum(_count(_key(words, mask)) for mask in masks)
    everything = len(words) * (len(words) - 1) // 2
    if not masks or _COST_OF_KEYS * total >= everything:
        masks, total = [np.zeros(words.shape[1], np.uint64)], everything
    shown = Progress(total, "comparing codes", "pair") if total >= _SHOWN_FROM else None
    with shown or contextlib.nullcontext() as progress:
        for mask in masks:
            yield from _linked_with_equal_keys(words, _key(words, mask), radius, progress)


def _masks(bits: int, number: int) -> list[UInt64[np.ndarray, " W"]]:
    """Assigns bits to ``number`` parts round-robin, and returns the mask of each part."""
    part = np.arange(bits) % number
    return [words_of(np.packbits(part == i)[None])[0] for i in range(number)]


def _key(words: _Words, mask: UInt64[np.ndarray, " W"]) -> _Keys:
    """Maps each code to a number that depends only on the bits in the mask."""
    key = words[:, 0] & mask[0]
    for place in range(1, words.shape[1]):
        key = key * _MULTIPLIER + (words[:, place] & mask[place])
    return key


def _count(key: _Keys) -> int:
    """Returns the number of pairs of codes with equal keys."""
    _, sizes = np.unique(key, return_counts=True)
    return int((sizes * (sizes - 1) // 2).sum())


def _linked_with_equal_keys(
    words: _Words, key: _Keys, radius: int, progress: Progress | None
) -> Iterator[_Pairs]:
    order = np.argsort(key, kind="stable")
    words, key = words[order], key[order]
    ends = np.flatnonzero(np.append(key[1:] != key[:-1], True))
    # The number of codes with the same key that follow each code.
    following = np.repeat(ends, np.diff(ends, prepend=-1)) - np.arange(len(key))
    first, step = np.flatnonzero(following), 1
    while len(first):
        # If all keys are equal, slices select the same pairs and are faster than index lists.
        all_equal = len(first) == len(words) - step
        pairs = (words[:-step], words[step:]) if all_equal else (words[first], words[first + step])
        distances = np.bitwise_count(pairs[0] ^ pairs[1])
        distance = distances[:, 0] if words.shape[1] == 1 else distances.sum(1, dtype=np.uint16)
        found = first[distance <= radius]
        if len(found):
            yield order[found], order[found + step]
        if progress is not None:
            progress.update(len(first))
        step += 1
        first = first[: len(words) - step] if all_equal else first[following[first] >= step]


def _gathered(pairs: Iterator[_Pairs]) -> Iterator[_Pairs]:
    """Concatenates pairs into batches that are large enough to be merged efficiently."""
    waiting, number = [], 0
    for some in pairs:
        waiting.append(some)
        number += len(some[0])
        if number >= _PAIRS_PER_MERGE:
            yield _concatenated(waiting)
            waiting, number = [], 0
    if waiting:
        yield _concatenated(waiting)


def _concatenated(
    pairs: list[tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]],
) -> _Pairs:
    first, second = zip(*pairs, strict=True)
    return np.concatenate(first), np.concatenate(second)


def _merged(
    labels: Int64[np.ndarray, " U"], first: Int64[np.ndarray, " n"], second: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " U"]:
    """Merges the components ``first[i]`` and ``second[i]`` for each i."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    shape = (len(labels), len(labels))
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=shape)
    _, component = connected_components(links, directed=False)
    return component.astype(np.int64)[labels]
