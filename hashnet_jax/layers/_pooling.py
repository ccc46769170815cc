"""Max pooling, with a fast CPU implementation.

XLA lowers the gradient of `reduce_window` to a search of every window, followed by a scatter. On a
CPU, this takes several times as long as the preceding convolution, so on CPUs the forward and
backward passes use strided slices of the input instead, one per window position. Other platforms
use plain `jax.lax`.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, UInt8

from hashnet_jax.layers._plain import is_plain


class PoolGeometry(NamedTuple):
    """Side, stride and padding of a square pooling window, in pixels."""

    window: int
    stride: int
    padding: int


def max_pool(
    images: Float[Array, "B H W C"], window: int, stride: int, padding: int = 0
) -> Float[Array, "B Ho Wo C"]:
    """Max pooling with a square window and symmetric padding, as in torch.

    The gradient goes to the first maximum of a window in row-major order (after ReLU, ties between
    zeros are common). Supports only reverse-mode differentiation, except inside
    :func:`hashnet_jax.layers.plain_layers`.

    Args:
      images: float ``[B, H, W, C]``; H + 2 ``padding`` and W + 2 ``padding`` must be at least
        ``window``.
      window: side length of the window, in pixels.
      stride: distance between windows, in pixels.
      padding: number of -inf pixels added on each side, less than ``window``.

    Returns:
      ``[B, H', W', C]`` with H' = (H + 2 padding - window) // stride + 1, and the same for W'.

    Examples:
      >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2, 2)[0, :, :, 0]
      Array([[ 5.,  7.],
             [13., 15.]], dtype=float32)
    """
    geometry = PoolGeometry(window, stride, padding)
    if is_plain("pooling"):
        return _pool_windows(images, geometry=geometry)
    return _max_pool(images, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(images: Array, geometry: PoolGeometry) -> Array:
    return lax.platform_dependent(
        images,
        cpu=partial(_pool_slices, geometry=geometry),
        default=partial(_pool_windows, geometry=geometry),
    )


def _forward(images: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    return _max_pool(images, geometry), images


def _backward(geometry: PoolGeometry, images: Array, gradient: Array) -> tuple[Array]:
    return (
        lax.platform_dependent(
            images,
            gradient,
            cpu=partial(_slices_gradient, geometry=geometry),
            default=partial(_windows_gradient, geometry=geometry),
        ),
    )


_max_pool.defvjp(_forward, _backward)


def _pool_windows(images: Array, *, geometry: PoolGeometry) -> Array:
    window, stride, padding = geometry
    pads = ((padding, padding), (padding, padding))
    # Flax's annotation allows only strings, but pairs are accepted too.
    return nn.max_pool(images, (window, window), (stride, stride), pads)  # pyright: ignore[reportArgumentType]


def _windows_gradient(images: Array, gradient: Array, *, geometry: PoolGeometry) -> Array:
    return jax.vjp(partial(_pool_windows, geometry=geometry), images)[1](gradient)[0]


def _pool_slices(images: Array, *, geometry: PoolGeometry) -> Array:
    slices = _window_slices(images, geometry)
    largest = next(slices)
    for candidate in slices:
        largest = jnp.maximum(largest, candidate)
    return largest


def _slices_gradient(images: Array, gradient: Array, *, geometry: PoolGeometry) -> Array:
    """Routes the gradient of each window to the position of the window's first maximum."""
    window, stride, padding = geometry
    first_maximum = _first_maximum(images, geometry)
    total = jnp.zeros_like(images)
    zero = jnp.zeros((), gradient.dtype)
    for i in range(window * window):
        share = jnp.where(first_maximum == i, gradient, zero)
        rows, columns = (
            _slice_padding(offset, stride, padding, images.shape[axis], share.shape[axis])
            for axis, offset in ((1, i // window), (2, i % window))
        )
        total += lax.pad(share, zero, ((0, 0, 0), rows, columns, (0, 0, 0)))
    return total


def _first_maximum(
    images: Float[Array, "B H W C"], geometry: PoolGeometry
) -> UInt8[Array, "B Ho Wo C"]:
    """Returns the position of each window's first maximum, in row-major order."""
    slices = _window_slices(images, geometry)
    largest = next(slices)
    position = jnp.zeros(largest.shape, jnp.uint8)
    for i, candidate in enumerate(slices, 1):
        position = jnp.where(candidate > largest, jnp.uint8(i), position)
        largest = jnp.maximum(largest, candidate)
    return position


def _slice_padding(
    offset: int, stride: int, padding: int, length: int, outputs: int
) -> tuple[int, int, int]:
    """Returns the padding (before, after, between) that puts a slice back in its place."""
    before = offset - padding
    return before, length - before - (stride * (outputs - 1) + 1), stride - 1


def _window_slices(images: Array, geometry: PoolGeometry) -> Iterator[Array]:
    """For each position within a window, in row-major order, yields its pixel in every window."""
    window, stride, padding = geometry
    pad = (padding, padding, 0)
    if padding:
        lowest = jnp.array(-jnp.inf, images.dtype)
        images = lax.pad(images, lowest, ((0, 0, 0), pad, pad, (0, 0, 0)))
    rows, columns = ((side - window) // stride * stride + 1 for side in images.shape[1:3])
    for i in range(window):
        for j in range(window):
            yield images[:, i : i + rows : stride, j : j + columns : stride]
