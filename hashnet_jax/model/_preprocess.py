"""Turns uint8 images into backbone inputs on device by resizing, cropping and normalising."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

from hashnet_jax.model._spec import ModelSpec


def normalize(
    images: UInt8[Array | np.ndarray, "B H W 3"], spec: ModelSpec
) -> Float[Array, "B H W 3"]:
    """Normalises each channel: (x/255 - mean)/std.

    Args:
      images: uint8 ``[B, H, W, 3]``, RGB.
      spec: the network's spec, :class:`hashnet_jax.ModelSpec`.

    Returns:
      float32 of the same shape.

    Examples:
      >>> spec = ModelSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
      >>> normalize(jnp.full((1, 1, 1, 3), 255, jnp.uint8), spec).ravel()
      Array([1., 1., 1.], dtype=float32)
    """
    mean = jnp.asarray(spec.mean, jnp.float32).reshape(1, 1, 1, 3)
    std = jnp.asarray(spec.std, jnp.float32).reshape(1, 1, 1, 3)
    scaled: Any = images.astype(jnp.float32) / 255.0
    return (scaled - mean) / std


def preprocess(
    images: UInt8[Array | np.ndarray, "B H W 3"], spec: ModelSpec
) -> Float[Array, "B S S 3"]:
    """Preprocesses images for inference: resizes them to squares, then crops and normalises them.

    Args:
      images: uint8 ``[B, H, W, 3]``, RGB, of any height and width.
      spec: the network's spec, :class:`hashnet_jax.ModelSpec`.

    Returns:
      float32 ``[B, S, S, 3]``, S = ``spec.image_size``.

    Raises:
      TypeError: if the images are not uint8.
      ValueError: if they are not ``[B, H, W, 3]`` with H, W >= 1.

    Examples:
      >>> preprocess(jnp.zeros((2, 300, 200, 3), jnp.uint8), ModelSpec()).shape
      (2, 224, 224, 3)

    References:
      The authors resize images to 256 x 256 without preserving the aspect ratio, then take the
      central 224 x 224. Here, images are resized by linear interpolation with antialiasing, and
      pixel values are rounded to integers. These values differ from those of PIL's BILINEAR by at
      most 1 (by a few units if a data set decodes a large JPEG at reduced size). Codes therefore do
      not depend on whether PIL or this function resizes an image, except for rare bits whose logits
      are near 0.
    """
    if images.dtype != jnp.uint8:
        raise TypeError(f"`images` must be uint8, got {images.dtype}.")
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:3]:
        raise ValueError(
            f"`images` must be [B, H, W, 3] with H, W >= 1, got {images.shape}. Add a batch "
            "axis with images[None], and repeat a grey channel three times."
        )
    size, crop = spec.resize, spec.image_size
    if images.shape[1:3] != (size, size):
        shape = (images.shape[0], size, size, 3)
        resized = jax.image.resize(images.astype(jnp.float32), shape, "linear", antialias=True)
        images = jnp.clip(jnp.round(resized), 0, 255).astype(jnp.uint8)
    # With a symbolic batch size, indexing would be a gather.
    first = (size - crop) // 2
    for axis in (1, 2):
        images = jax.lax.slice_in_dim(images, first, first + crop, axis=axis)
    return normalize(images, spec)
