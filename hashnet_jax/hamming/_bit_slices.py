"""Smallest Hamming distances in groups of codes, computed on bit slices.

A bit slice holds one bit of many codes. Distances to 32 codes at a time are computed by logical
operations alone: XOR with the query's bits, then an adder whose digits are again slices. A
processor without a vector population count does this several times as fast as
``population_count``.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

# Codes per group: one for each bit of a word.
GROUP = 32

# Words per tile, over all slices (256 KiB, which fits in the cache of a core).
_TILE_WORDS = 2**16


def slice_bits(
    words: UInt32[Array, "groups 32 W"], bits: int
) -> UInt32[Array, "tiles {bits} tile_groups"]:
    """Transposes the bits of groups of 32 codes.

    Args:
      words: the codes as 32-bit words, uint32 ``[groups, 32, W]``.
      bits: the number of bits to keep, the lowest of each code, in 1..32*W.

    Returns:
      The slices of ``tile_groups`` consecutive groups per tile. Bit i of ``[t, j, g]`` is bit j of
      code i in the g-th group of tile t. The last tile is padded with copies of the last group.
    """
    n_groups = len(words)
    tile_groups = min(n_groups, max(1, _TILE_WORDS // bits))
    n_tiles = -(-n_groups // tile_groups)
    slices = jnp.concatenate([_transpose_32(codes) for codes in words.transpose(2, 1, 0)])[:bits]
    padding = n_tiles * tile_groups - n_groups
    padded = jnp.pad(slices, [(0, 0), (0, padding)], mode="edge")
    return padded.reshape(bits, n_tiles, tile_groups).transpose(1, 0, 2)


def smallest_per_group(
    queries: UInt32[Array, "Q W"], tiles: UInt32[Array, "tiles bits tile_groups"]
) -> UInt32[Array, "tiles Q tile_groups"]:
    """Computes the smallest distance from each query to the codes of each group.

    Args:
      queries: the queries as 32-bit words.
      tiles: the codes, from :func:`slice_bits`.

    Returns:
      The smallest distances, for the groups of one tile after another.
    """
    bits = tiles.shape[1]
    masks = jax.vmap(_masks)(queries)[:, :bits]

    def nearest(tile: UInt32[Array, "bits g"], mask: UInt32[Array, " bits"]) -> UInt32[Array, " g"]:
        return _smallest(_count([tile[j] ^ mask[j] for j in range(bits)]))

    # With the tiles as the outer loop, each is read from memory once for all queries.
    over_queries = jax.vmap(nearest, in_axes=(None, 0))
    return jax.lax.map(lambda tile: over_queries(tile, masks), tiles)


def _masks(words: UInt32[Array, " W"]) -> UInt32[Array, " 32*W"]:
    """Returns one word per bit of a code, with all bits equal to it."""
    bits = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None, :]) & 1
    return -bits.ravel()


def _count(slices: Sequence[UInt32[Array, " g"]]) -> list[UInt32[Array, " g"]]:
    """Counts the ones at each bit position; returns binary digits, the lowest first."""
    digits, same_weight = [], list(slices)
    while same_weight:
        carries = []
        while len(same_weight) >= 3:
            first, second, third, *same_weight = same_weight
            differ = first ^ second
            same_weight.append(differ ^ third)
            carries.append((first & second) | (differ & third))
        if len(same_weight) == 2:
            first, second = same_weight
            same_weight = [first ^ second]
            carries.append(first & second)
        digits.append(same_weight[0])
        same_weight = carries
    return digits


def _smallest(digits: Sequence[UInt32[Array, " g"]]) -> UInt32[Array, " g"]:
    """Returns the smallest of the 32 numbers at each place."""
    candidates = jnp.full_like(digits[0], 2**32 - 1)
    smallest = jnp.zeros_like(digits[0])
    for weight, digit in reversed(list(enumerate(digits))):
        without = candidates & ~digit
        is_any = without != 0
        candidates = jnp.where(is_any, without, candidates)
        smallest |= jnp.where(is_any, 0, 1 << weight).astype(jnp.uint32)
    return smallest


def _transpose_32(words: UInt32[Array, "32 g"]) -> UInt32[Array, "32 g"]:
    """Transposes the 32 x 32 bits at each place: bit i of word j becomes bit j of word i.

    Swaps the off-diagonal halves of ever smaller blocks (H. S. Warren, Hacker's Delight, 2nd ed.,
    2012, section 7-3).
    """
    for size, mask in (
        (16, 0x0000FFFF),
        (8, 0x00FF00FF),
        (4, 0x0F0F0F0F),
        (2, 0x33333333),
        (1, 0x55555555),
    ):
        blocks = words.reshape(16 // size, 2, size, -1)
        low, high = blocks[:, 0], blocks[:, 1]
        swapped = ((low >> size) ^ high) & jnp.uint32(mask)
        words = jnp.stack([low ^ (swapped << size), high ^ swapped], axis=1).reshape(32, -1)
    return words
