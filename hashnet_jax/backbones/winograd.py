"""Convolutions of 3 x 3 and 5 x 5 with fewer products, after Winograd, for the CPU.

An image is cut into overlapping tiles of n x n pixels, n = m + r - 1, each of which gives m x m
pixels of a convolution with a kernel of r x r. Tile and kernel are read as polynomials and
evaluated at n - 1 points and at infinity; there the convolution is a product of numbers, and over
all channels and tiles one matrix product a point. So a pixel takes (n / m)^2 products, not r^2.

A convolution of stride s is one of stride 1 once blocks of s x s pixels are read as the channels of
one pixel.

Images are ``[B, H, W, C]``, kernels ``[k, k, C, F]``; ``sizes`` is strides and padding, as
:mod:`hashnet_jax.backbones.convolution` has them.

References:
  Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(m x m, r x r).
  The matrices are those of Toom and Cook's algorithm.
"""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hashnet_jax.backbones.parts import map_parts, part_size, sum_parts

# Side m of what a tile gives, by the side r of the kernel. Larger tiles take fewer products and
# round more: relative to lax, the root mean square error of F(2, 3) is 3e-7, as lax's own, of
# F(4, 3) 2e-6 (and saves little here), of F(4, 5) 3e-6; F(2, 5) is hardly faster than lax.
OUTPUTS = {3: 2, 5: 4}
POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)

# Where it was faster than lax, on 2 cores. With fewer channels or filters, the sums outweigh the
# products that are saved; with fewer tiles, what the kernel is carried over by does; and a larger
# image leaves the cache.
CHANNELS = 48
TILES = 128
LARGEST_IMAGE = 2**26  # bytes that it is unfolded to


@functools.cache
def matrices(m, r):
    """What carries tile, kernel and product over, float64: B^T [n, n], G [n, r], A^T [m, n].

    Examples:
      >>> tile, kernel, product = matrices(2, 3)
      >>> y = product @ ((tile @ [1, 2, 3, 4]) * (kernel @ [1, 0, -1]))
      >>> y.tolist()  # 1 - 3 and 2 - 4
      [-2.0, -2.0]
    """
    n = m + r - 1
    points = POINTS[: n - 1]
    tile, kernel, product = np.zeros((n, n)), np.zeros((n, r)), np.zeros((m, n))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        tile[i, : n - 1] = np.polynomial.polynomial.polyfromroots(others)
        kernel[i] = float(point) ** np.arange(r) / np.prod(np.subtract(point, others))
        product[:, i] = float(point) ** np.arange(m)
    tile[-1] = np.polynomial.polynomial.polyfromroots(points)
    kernel[-1, -1] = product[-1, -1] = 1  # at infinity
    return tile, kernel, product


def is_faster(images, kernel, sizes):
    """Whether a convolution is one that this form takes, and takes less time for than lax.

    Args:
      images, kernel: float ``[B, H, W, C]`` and ``[k, k, C, F]``, or their shapes and dtypes.
      sizes: ``((rows, columns), ((top, bottom), (left, right)))``: strides and padding, pixels.

    Returns:
      bool; False where the batch size is not known, as in an export for any.

    Examples:
      >>> images, same = jnp.zeros((64, 13, 13, 192)), ((1, 1), (1, 1))
      >>> is_faster(images, jnp.zeros((3, 3, 192, 384)), ((1, 1), same))
      True
      >>> is_faster(images, jnp.zeros((3, 3, 192, 384)), ((2, 2), same))
      False
    """
    height, width, channels, filters = kernel.shape
    (stride, other), padding = sizes
    r = -(-height // stride)
    if not (
        # An export for any batch size cannot tell how many tiles there will be.
        all(isinstance(length, int) for length in images.shape)
        and height == width
        and stride == other
        and r in OUTPUTS
        and all(0 <= pixels < height for sides in padding for pixels in sides)
        and min(stride**2 * channels, filters) >= CHANNELS
        and kernel.dtype == jnp.float32
    ):
        return False
    tiles = _tiles(_outputs(images, height, sizes), OUTPUTS[r])
    unfolded = 4 * _unfolded(tiles, OUTPUTS[r], r, stride**2 * channels + filters)
    return images.shape[0] * tiles[0] * tiles[1] >= TILES and unfolded <= LARGEST_IMAGE


def convolve(images, kernel, *, sizes):
    """The convolution that :func:`is_faster` knows: of the same arguments, ``[B, H', W', F]``.

    Examples:
      >>> sizes = (4, 4), ((2, 2), (2, 2))
      >>> convolve(jnp.ones((2, 63, 63, 3)), jnp.ones((11, 11, 3, 8)), sizes=sizes).shape
      (2, 15, 15, 8)
    """
    images, padding = _read_blocks(images, len(kernel), sizes)
    return _convolve(images, _kernel_of_blocks(kernel, sizes), padding, channels=2)


def by_images(images, kernel, gradient, *, sizes):
    """Its gradient by the images, ``[B, H, W, C]``, of ``gradient``, ``[B, H', W', F]``.

    It is a convolution of the gradient with the kernel turned around.
    """
    _, back, padding = jax.vjp(
        lambda images: _read_blocks(images, len(kernel), sizes), images, has_aux=True
    )
    kernel = _kernel_of_blocks(kernel, sizes)
    padding = tuple(tuple(len(kernel) - 1 - pixels for pixels in sides) for sides in padding)
    return back(_convolve(gradient, kernel[::-1, ::-1], padding, channels=3))[0]


def by_kernel(images, kernel, gradient, *, sizes):
    """Its gradient by the kernel, ``[k, k, C, F]``, of ``gradient``, ``[B, H', W', F]``."""
    images, padding = _read_blocks(images, len(kernel), sizes)
    kernel, back = jax.vjp(lambda kernel: _kernel_of_blocks(kernel, sizes), kernel)
    r, _, channels, filters = kernel.shape
    m = OUTPUTS[r]
    n = m + r - 1
    of_tile, of_kernel, of_product = matrices(m, r)
    tiles = _tiles(gradient.shape[1:3], m)

    def of_part(images, gradient):
        u = _unfold(of_tile, _pad(images, padding, tiles, m, r - 1), tiles, m)
        v = _unfold(of_product.T, _pad(gradient, ((0, 0), (0, 0)), tiles, m, 0), tiles, m)
        return lax.dot_general(u, v, (((1,), (1,)), ((0,), (0,))))

    part = part_size(len(images), _unfolded(tiles, m, r, channels + filters))
    total = sum_parts(of_part, part, images, gradient).reshape(n, n, channels, filters)
    rows = _combine(of_kernel.T, total)
    return back(jnp.stack([jnp.stack(_combine(of_kernel.T, row)) for row in rows]))[0]


def _read_blocks(images, size, sizes):
    """Images whose blocks of stride x stride pixels are one of as many channels; their padding."""
    (stride, _), padding = sizes
    if stride == 1:
        return images, padding
    counts = [count + -(-size // stride) - 1 for count in _outputs(images, size, sizes)]
    channels = images.shape[-1]
    blocks = _pad(images, padding, counts, stride, 0).reshape(
        -1, counts[0], stride, counts[1], stride, channels
    )
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, *counts, stride**2 * channels)
    return blocks, ((0, 0), (0, 0))


def _kernel_of_blocks(kernel, sizes):
    """The kernel of images that :func:`_read_blocks` gives, zeros where it ends within a block."""
    (stride, _), _ = sizes
    size, _, channels, filters = kernel.shape
    r = -(-size // stride)
    missing = (0, stride * r - size)
    padded = jnp.pad(kernel, (missing, missing, (0, 0), (0, 0)))
    blocks = padded.reshape(r, stride, r, stride, channels, filters).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(r, r, stride**2 * channels, filters)


def _convolve(images, kernel, padding, *, channels):
    """``channels`` is the kernel's axis of the images' channels; the other one is of filters."""
    r = len(kernel)
    m = OUTPUTS[r]
    of_tile, of_kernel, of_product = matrices(m, r)
    height, width = _outputs(images, r, ((1, 1), padding))
    tiles = _tiles((height, width), m)
    weights = jnp.stack(
        [point for row in _combine(of_kernel, kernel) for point in _combine(of_kernel, row)]
    )

    def of_part(images):
        u = _unfold(of_tile, _pad(images, padding, tiles, m, r - 1), tiles, m)
        products = lax.dot_general(u, weights, (((2,), (channels - 1,)), ((0,), (0,))))
        return _fold(of_product, products, tiles)[:, :height, :width]

    part = part_size(len(images), _unfolded(tiles, m, r, sum(kernel.shape[2:])))
    return map_parts(of_part, part, images)


def _outputs(images, size, sizes):
    return tuple(
        (length + sum(sides) - size) // stride + 1
        for length, stride, sides in zip(images.shape[1:3], *sizes, strict=True)
    )


def _tiles(outputs, m):
    return tuple(-(-length // m) for length in outputs)


def _unfolded(tiles, m, r, channels):
    return (m + r - 1) ** 2 * tiles[0] * tiles[1] * channels


def _pad(images, padding, tiles, m, overlap):
    """Images with the pixels that their tiles cover, m apart and ``overlap`` longer."""
    covered = (
        (before, m * count + overlap - before - length, 0)
        for (before, _), count, length in zip(padding, tiles, images.shape[1:3], strict=True)
    )
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), *covered, (0, 0, 0)))


def _unfold(matrix, images, tiles, m):
    """Tiles of ``[B, H, W, C]``, each at the points of rows and columns: ``[n n, B tiles, C]``."""
    lengths = [m * (count - 1) + 1 for count in tiles]
    side = matrix.shape[1]
    rows = _combine(matrix, [images[:, k : k + lengths[0] : m] for k in range(side)])
    points = (
        point
        for row in rows
        for point in _combine(matrix, [row[:, :, k : k + lengths[1] : m] for k in range(side)])
    )
    return jnp.stack([point.reshape(-1, images.shape[-1]) for point in points])


def _fold(matrix, products, tiles):
    """What the tiles give, in its place: of ``[n n, B tiles, F]``, ``[B, m tiles, m tiles, F]``."""
    m, n = matrix.shape
    rows = _combine(matrix, products.reshape(n, n, -1, *tiles, products.shape[-1]))
    pixels = jnp.stack([jnp.stack(_combine(matrix, row), axis=3) for row in rows], axis=2)
    return pixels.reshape(len(pixels), m * tiles[0], m * tiles[1], -1)


def _combine(matrix, arrays):
    """The rows of ``matrix @ arrays``, without the products with 0 and 1."""
    return [
        functools.reduce(
            operator.add,
            (arrays[i] if row[i] == 1 else float(row[i]) * arrays[i] for i in np.flatnonzero(row)),
        )
        for row in matrix
    ]
