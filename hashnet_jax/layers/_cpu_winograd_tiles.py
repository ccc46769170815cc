"""Cuts images into tiles for Winograd's algorithm, transforms them, and joins the outputs."""

import functools
import operator
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
    lengths = [spacing * (count - 1) + 1 for count in tiles]
    side = matrix.shape[1]
    rows = linear_combinations(
        matrix, [images[:, k : k + lengths[0] : spacing] for k in range(side)]
    )
    points = (
        point
        for row in rows
        for point in linear_combinations(
            matrix, [row[:, :, k : k + lengths[1] : spacing] for k in range(side)]
        )
    )
    return jnp.stack([point.reshape(-1, images.shape[-1]) for point in points])


def assemble_outputs(
    matrix: Float[np.ndarray, "m n"],
    products: Float[Array, "points all_tiles F"],
    tiles: tuple[int, int],
) -> Float[Array, "B Ht Wt F"]:
    """Transforms products into output tiles and joins these, as ``[B, m tiles, m tiles, F]``."""
    m, n = matrix.shape
    rows = linear_combinations(matrix, products.reshape(n, n, -1, *tiles, products.shape[-1]))
    pixels = jnp.stack(
        [jnp.stack(linear_combinations(matrix, row), axis=3) for row in rows], axis=2
    )
    return pixels.reshape(len(pixels), m * tiles[0], m * tiles[1], -1)


def linear_combinations(
    matrix: Float[np.ndarray, "n k"], arrays: Array | list[Array]
) -> list[Array]:
    """Returns the rows of ``matrix @ arrays`` without multiplying by 0 or 1.

    Examples:
      >>> [float(row) for row in linear_combinations(np.array([[0.0, 1.0]]), jnp.array([2.0, 3.0]))]
      [3.0]
    """
    return [
        functools.reduce(
            operator.add,
            (arrays[i] if row[i] == 1 else float(row[i]) * arrays[i] for i in np.flatnonzero(row)),
        )
        for row in matrix
    ]
