"""Cuts images into tiles for Winograd's algorithm, transforms them, and joins the outputs."""

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

# The polynomials are evaluated at these points and at infinity.
INTERPOLATION_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)


class TransformMatrices(NamedTuple):
    """The float64 matrices of Winograd's algorithm F(m, r), for tiles of side n = m + r - 1.

    Attributes:
      tile: B^T ``[n, n]``, evaluates a tile at the interpolation points.
      kernel: G ``[n, r]``, evaluates the kernel at the interpolation points.
      output: A^T ``[m, n]``, maps the products at the points to the outputs.
    """

    tile: Float[np.ndarray, "n n"]
    kernel: Float[np.ndarray, "n r"]
    output: Float[np.ndarray, "m n"]


@functools.cache
def transform_matrices(m: int, r: int) -> TransformMatrices:
    """Derives the transforms for a kernel of size r and m outputs per tile (Toom-Cook algorithm).

    Examples:
      >>> tile, kernel, output = transform_matrices(2, 3)
      >>> y = output @ ((tile @ [1, 2, 3, 4]) * (kernel @ [1, 0, -1]))
      >>> y.tolist()  # 1 - 3 and 2 - 4
      [-2.0, -2.0]
    """
    n = m + r - 1
    points = INTERPOLATION_POINTS[: n - 1]
    tile, kernel, output = np.zeros((n, n)), np.zeros((n, r)), np.zeros((m, n))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        tile[i, : n - 1] = np.polynomial.polynomial.polyfromroots(others)
        kernel[i] = float(point) ** np.arange(r) / np.prod(np.subtract(point, others))
        output[:, i] = float(point) ** np.arange(m)
    tile[-1] = np.polynomial.polynomial.polyfromroots(points)
    kernel[-1, -1] = output[-1, -1] = 1  # at infinity
    return TransformMatrices(tile, kernel, output)


def tile_counts(output_size: tuple[int, ...], m: int) -> tuple[int, int]:
    """Returns the numbers of rows and columns of m x m tiles that cover an output.

    Examples:
      >>> tile_counts((12, 13), 4)
      (3, 4)
    """
    height, width = output_size
    return -(-height // m), -(-width // m)


def unfolded_size(tiles: tuple[int, int], m: int, r: int, channels: int) -> int:
    """Returns the number of elements in the tiles of one image."""
    return (m + r - 1) ** 2 * tiles[0] * tiles[1] * channels


def pad_to_tiles(
    images: Float[Array, "B H W C"],
    padding: tuple[tuple[int, int], tuple[int, int]],
    tiles: tuple[int, int],
    spacing: int,
    overlap: int,
) -> Float[Array, "B Ht Wt C"]:
    """Pads or crops images to the area that their tiles cover.

    The first tile starts where the padding starts. Tiles start every ``spacing`` pixels, and
    adjacent tiles overlap by ``overlap`` pixels.
    """
    covered = (
        (before, spacing * count + overlap - before - length, 0)
        for (before, _), count, length in zip(padding, tiles, images.shape[1:3], strict=True)
    )
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), *covered, (0, 0, 0)))


def transform_tiles(
    matrix: Float[np.ndarray, "n side"],
    images: Float[Array, "B H W C"],
    tiles: tuple[int, int],
    spacing: int,
) -> Float[Array, "points all_tiles C"]:
    """Evaluates each tile at all pairs of interpolation points, as ``[n * n, B * tiles, C]``."""
    n, side = matrix.shape
    lengths = [spacing * (count - 1) + 1 for count in tiles]
    rows = linear_combinations(
        matrix, [images[:, k : k + lengths[0] : spacing] for k in range(side)]
    )
    points = linear_combinations(
        matrix, [rows[:, :, :, k : k + lengths[1] : spacing] for k in range(side)]
    )
    return points.swapaxes(0, 1).reshape(n * n, -1, images.shape[-1])


def assemble_outputs(
    matrix: Float[np.ndarray, "m n"],
    products: Float[Array, "points all_tiles F"],
    tiles: tuple[int, int],
) -> Float[Array, "B Ht Wt F"]:
    """Transforms products into output tiles and joins these, as ``[B, m tiles, m tiles, F]``."""
    m, n = matrix.shape
    by_point = products.reshape(n, n, -1, *tiles, products.shape[-1])
    rows = linear_combinations(matrix, list(by_point))
    columns = linear_combinations(matrix, list(rows.swapaxes(0, 1)))
    pixels = columns.transpose(2, 3, 1, 4, 0, 5)
    return pixels.reshape(len(pixels), m * tiles[0], m * tiles[1], -1)


def linear_combinations(matrix: Float[np.ndarray, "n k"], arrays: Sequence[Array]) -> Array:
    """Returns ``matrix @ arrays``, with the n results along a new first axis.

    One expression computes all results, although it also multiplies by the zeros and ones of the
    matrix: with an expression per result, the same convolutions took 3 to 8 times as long to
    compile and were not faster.

    Args:
      matrix: the coefficients, ``[n, k]``.
      arrays: k arrays of one shape and dtype.

    Examples:
      >>> linear_combinations(np.array([[0.0, 1.0]]), [jnp.array([2.0]), jnp.array([3.0])]).tolist()
      [[3.0]]
    """
    columns = (
        jnp.asarray(column, array.dtype).reshape(-1, *[1] * array.ndim) * array[None]
        for column, array in zip(matrix.T, arrays, strict=True)
    )
    return functools.reduce(operator.add, columns)
