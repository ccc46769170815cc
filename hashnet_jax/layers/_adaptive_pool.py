"""Adaptive average pooling, compatible with torch."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


def adaptive_avg_pool(images: Float[Array, "B H W C"], size: int) -> Float[Array, "B S S C"]:
    """Averages images over the same bins as torch's adaptive average pooling.

    Along each axis, e.g. the H rows, bin i of S covers positions floor(i H / S) to ceil((i + 1) H /
    S) - 1. Bins may therefore overlap, and several bins contain the same row if H < S. If H = W =
    S, the images are returned unchanged.

    Args:
      images: float ``[B, H, W, C]``.
      size: side length S of the output, >= 1.

    Returns:
      The averages, ``[B, S, S, C]``, in the dtype of ``images``.

    Examples:
      >>> adaptive_avg_pool(jnp.arange(9.0).reshape(1, 3, 3, 1), 2)[0, :, :, 0]
      Array([[2., 3.],
             [5., 6.]], dtype=float32)
    """
    height, width = images.shape[1:3]
    if (height, width) == (size, size):
        return images
    rows = _bin_averages(height, size).astype(images.dtype)
    columns = _bin_averages(width, size).astype(images.dtype)
    return jnp.einsum("bhwc,ih,jw->bijc", images, rows, columns)


def _bin_averages(length: int, bins: int) -> Float[Array, "bins length"]:
    """Returns a matrix that averages the values in each bin along an axis."""
    position = jnp.arange(length)
    start = jnp.arange(bins) * length // bins
    stop = -(-(jnp.arange(bins) + 1) * length // bins)
    inside = (position[None, :] >= start[:, None]) & (position[None, :] < stop[:, None])
    return inside / jnp.sum(inside, axis=1, keepdims=True)
