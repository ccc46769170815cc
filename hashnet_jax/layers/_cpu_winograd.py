"""Winograd's algorithm: 3 x 3 and 5 x 5 convolutions with fewer multiplications, for the CPU.

An image is cut into overlapping tiles of n x n pixels, where n = m + r - 1. Each tile yields m x m
outputs of a convolution with an r x r kernel. Tiles and kernels are treated as polynomials and
evaluated at n - 1 points and at infinity. At each point, the convolution becomes a product, so one
matrix product per point covers all channels and tiles. An output costs (n / m)^2
multiplications instead of r^2.

A stride-s convolution becomes a stride-1 convolution by space-to-depth: each block of s x s pixels
becomes the channels of one pixel.

References:
  Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(m x m, r x r).
  The transforms come from the Toom-Cook algorithm (:mod:`_cpu_winograd_tiles`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from hashnet_jax.layers._cpu_batch_chunks import chunk_size, map_chunks, sum_over_chunks
from hashnet_jax.layers._cpu_winograd_tiles import (
    assemble_outputs,
    linear_combinations,
    pad_to_tiles,
    tile_counts,
    transform_matrices,
    transform_tiles,
    unfolded_size,
)
from hashnet_jax.layers._geometry import ConvGeometry

# Number of outputs m per tile side, keyed by kernel size r. Larger tiles take fewer multiplications
# but are less accurate: the relative root-mean-square error is 3e-7 for F(2, 3), the same as that
# of lax, 2e-6 for F(4, 3), which saves little here, and 3e-6 for F(4, 5). F(2, 5) is hardly faster
# than lax.
OUTPUT_TILE = {3: 2, 5: 4}

# Within these limits, Winograd was faster than lax on 2 cores. With fewer channels or filters, the
# additions outweigh the multiplications saved; with fewer tiles, the kernel transform does; and
# the tiles of larger images do not fit in the cache.
MIN_CHANNELS = 48
MIN_TILES = 128
MAX_UNFOLDED_BYTES_PER_IMAGE = 2**26


def is_faster(
    images: Float[Array | jax.ShapeDtypeStruct, "B H W C"],
    kernel: Float[Array | jax.ShapeDtypeStruct, "kH kW C F"],
    geometry: ConvGeometry,
) -> bool:
    """Returns whether Winograd's algorithm applies and is faster than XLA's convolution.

    Args:
      images, kernel: float ``[B, H, W, C]`` and ``[k, k, C, F]``, or their shapes and dtypes.
      geometry: strides and padding of the convolution.

    Returns:
      True if the algorithm applies and is faster; always False if the batch size is symbolic, as in
      some exported programs.

    Examples:
      >>> images, padding = jnp.zeros((64, 13, 13, 192)), ((1, 1), (1, 1))
      >>> is_faster(images, jnp.zeros((3, 3, 192, 384)), ConvGeometry((1, 1), padding))
      True
      >>> is_faster(images, jnp.zeros((3, 3, 192, 384)), ConvGeometry((2, 2), padding))
      False
    """
    if not _applies(images, kernel, geometry):
        return False
    size, _, channels, filters = kernel.shape
    stride = geometry.strides[0]
    r = -(-size // stride)
    tiles = tile_counts(geometry.output_size(images.shape[1:3], size), OUTPUT_TILE[r])
    unfolded = 4 * unfolded_size(tiles, OUTPUT_TILE[r], r, stride**2 * channels + filters)
    return (
        min(stride**2 * channels, filters) >= MIN_CHANNELS
        and images.shape[0] * tiles[0] * tiles[1] >= MIN_TILES
        and unfolded <= MAX_UNFOLDED_BYTES_PER_IMAGE
    )


def _applies(
    images: Array | jax.ShapeDtypeStruct,
    kernel: Array | jax.ShapeDtypeStruct,
    geometry: ConvGeometry,
) -> bool:
    height, width = kernel.shape[:2]
    (row_stride, column_stride), padding = geometry
    return (
        # With a symbolic batch size, the number of tiles is unknown.
        all(isinstance(length, int) for length in images.shape)
        and height == width
        and row_stride == column_stride
        and -(-height // row_stride) in OUTPUT_TILE
        and all(0 <= pixels < height for sides in padding for pixels in sides)
        and kernel.dtype == jnp.float32
    )


def convolve(
    images: Float[Array, "B H W C"], kernel: Float[Array, "k k C F"], *, geometry: ConvGeometry
) -> Float[Array, "B Ho Wo F"]:
    """A Winograd convolution, for arguments that satisfy :func:`is_faster`.

    Examples:
      >>> geometry = ConvGeometry((4, 4), ((2, 2), (2, 2)))
      >>> convolve(jnp.ones((2, 63, 63, 3)), jnp.ones((11, 11, 3, 8)), geometry=geometry).shape
      (2, 15, 15, 8)
    """
    blocks = _space_to_depth(images, len(kernel), geometry)
    block_kernel = _kernel_to_depth(kernel, geometry)
    return _convolve_tiles(blocks, block_kernel, _block_padding(geometry), channel_axis=2)


def input_gradient(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k C F"],
    gradient: Float[Array, "B Ho Wo F"],
    *,
    geometry: ConvGeometry,
) -> Float[Array, "B H W C"]:
    """The gradient of :func:`convolve` with respect to the images.

    It is a convolution with the flipped kernel.
    """
    _, from_blocks = jax.vjp(lambda images: _space_to_depth(images, len(kernel), geometry), images)
    kernel = _kernel_to_depth(kernel, geometry)
    (top, bottom), (left, right) = _block_padding(geometry)
    last = len(kernel) - 1
    padding = (last - top, last - bottom), (last - left, last - right)
    flipped = kernel[::-1, ::-1]
    return from_blocks(_convolve_tiles(gradient, flipped, padding, channel_axis=3))[0]


def kernel_gradient(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k C F"],
    gradient: Float[Array, "B Ho Wo F"],
    *,
    geometry: ConvGeometry,
) -> Float[Array, "k k C F"]:
    """The gradient of :func:`convolve` with respect to the kernel."""
    blocks, padding = _space_to_depth(images, len(kernel), geometry), _block_padding(geometry)
    kernel, from_depth = jax.vjp(lambda kernel: _kernel_to_depth(kernel, geometry), kernel)
    r, _, channels, filters = kernel.shape
    m = OUTPUT_TILE[r]
    n = m + r - 1
    matrices = transform_matrices(m, r)
    tiles = tile_counts(gradient.shape[1:3], m)

    def chunk_gradient(images: Array, gradient: Array) -> Array:
        u = transform_tiles(matrices.tile, pad_to_tiles(images, padding, tiles, m, r - 1), tiles, m)
        v = transform_tiles(
            matrices.output.T, pad_to_tiles(gradient, ((0, 0), (0, 0)), tiles, m, 0), tiles, m
        )
        return lax.dot_general(u, v, (((1,), (1,)), ((0,), (0,))))

    chunk = chunk_size(len(blocks), unfolded_size(tiles, m, r, channels + filters))
    total = sum_over_chunks(chunk_gradient, chunk, blocks, gradient)
    return from_depth(
        _transform_both_axes(matrices.kernel.T, total.reshape(n, n, channels, filters))
    )[0]


def _convolve_tiles(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "r r _ _"],
    padding: tuple[tuple[int, int], tuple[int, int]],
    *,
    channel_axis: int,
) -> Float[Array, "B Ho Wo F"]:
    """Computes a stride-1 convolution; ``channel_axis`` is the kernel's input channel axis."""
    r = len(kernel)
    m = OUTPUT_TILE[r]
    matrices = transform_matrices(m, r)
    height, width = ConvGeometry((1, 1), padding).output_size(images.shape[1:3], r)
    tiles = tile_counts((height, width), m)
    weights = _transform_both_axes(matrices.kernel, kernel).reshape(-1, *kernel.shape[2:])

    def convolve_chunk(images: Array) -> Array:
        padded = pad_to_tiles(images, padding, tiles, m, r - 1)
        u = transform_tiles(matrices.tile, padded, tiles, m)
        products = lax.dot_general(u, weights, (((2,), (channel_axis - 1,)), ((0,), (0,))))
        return assemble_outputs(matrices.output, products, tiles)[:, :height, :width]

    chunk = chunk_size(len(images), unfolded_size(tiles, m, r, sum(kernel.shape[2:])))
    return map_chunks(convolve_chunk, chunk, images)


def _transform_both_axes(
    matrix: Float[np.ndarray, "n k"], kernel: Float[Array, "k k C F"]
) -> Float[Array, "n n C F"]:
    rows = linear_combinations(matrix, list(kernel))
    return linear_combinations(matrix, list(rows.swapaxes(0, 1))).swapaxes(0, 1)


def _space_to_depth(
    images: Float[Array, "B H W C"], kernel_size: int, geometry: ConvGeometry
) -> Float[Array, "B Hs Ws D"]:
    """Pads images, then turns each block of stride x stride pixels into the channels of one pixel.

    With stride 1, the images are returned unchanged and unpadded.
    """
    stride = geometry.strides[0]
    if stride == 1:
        return images
    outputs = geometry.output_size(images.shape[1:3], kernel_size)
    rows, columns = (count + -(-kernel_size // stride) - 1 for count in outputs)
    channels = images.shape[-1]
    blocks = pad_to_tiles(images, geometry.padding, (rows, columns), stride, 0).reshape(
        -1, rows, stride, columns, stride, channels
    )
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows, columns, stride**2 * channels)


def _block_padding(geometry: ConvGeometry) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the padding that the result of :func:`_space_to_depth` still needs."""
    return geometry.padding if geometry.strides[0] == 1 else ((0, 0), (0, 0))


def _kernel_to_depth(
    kernel: Float[Array, "k k C F"], geometry: ConvGeometry
) -> Float[Array, "r r D F"]:
    """Zero-pads a kernel to whole blocks, and rearranges it to match :func:`_space_to_depth`."""
    stride = geometry.strides[0]
    size, _, channels, filters = kernel.shape
    r = -(-size // stride)
    missing = (0, stride * r - size)
    padded = jnp.pad(kernel, (missing, missing, (0, 0), (0, 0)))
    blocks = padded.reshape(r, stride, r, stride, channels, filters).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(r, r, stride**2 * channels, filters)
