"""Encodes images as binary codes: the main entry point for other JAX code."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int8, UInt8

from hashnet_jax.codes import binarize
from hashnet_jax.model._finite import check_finite_images
from hashnet_jax.model._network import NetworkInput, logits
from hashnet_jax.model._params import HashNetParams
from hashnet_jax.model._preprocess import preprocess


def encode(
    params: HashNetParams, images: UInt8[Array | np.ndarray, "B H W 3"] | NetworkInput
) -> Int8[Array, "B K"]:
    """Encodes images as binary codes sgn(z).

    This function is pure and works under ``jax.jit``, ``vmap`` and ``jax.export``. Outside jit, it
    compiles once per image shape, so pad a smaller last batch, as
    :func:`hashnet_jax.training.encode_dataset` does.

    A NaN logit gives the bit -1. Float images are checked for NaN and infinite pixels unless they
    are traced, as under ``jax.jit``. If you did not train the network yourself, check it once with
    :func:`hashnet_jax.model.check_finite`.

    Args:
      params: the network, :class:`HashNetParams`, from :func:`hashnet_jax.load` or
        :func:`hashnet_jax.init`.
      images: uint8 RGB images ``[B, H, W, 3]`` of any size, which are resized, centre-cropped and
        normalised according to ``params.spec``; or preprocessed float images ``[B, S, S, 3]``
        with S = ``params.spec.image_size``.

    Returns:
      int8 ``[B, K]``, each entry -1 or +1.

    Raises:
      TypeError: if ``params`` is not HashNetParams, or the images are neither uint8 nor
        float.
      ValueError: if the images have any other shape, or are not traced and contain NaN or infinite
        pixels.

    Examples:
      >>> import hashnet_jax
      >>> spec = hashnet_jax.ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> codes = encode(params, jnp.zeros((5, 20, 30, 3), jnp.uint8))
      >>> codes.shape, codes.dtype
      ((5, 12), dtype('int8'))
    """
    if not isinstance(params, HashNetParams):
        raise TypeError(
            f"`params` must be HashNetParams, got {type(params).__name__}. Use "
            "hashnet_jax.load(folder) or hashnet_jax.init(key, spec)."
        )
    visible = images
    images = jnp.asarray(images)
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"`images` must be uint8 (0..255), or float if already preprocessed, but got "
            f"{images.dtype}."
        )
    check_finite_images(visible)
    return _encode(params, images)


@jax.jit
def _encode(params: HashNetParams, images: Array) -> Int8[Array, "B K"]:
    if images.dtype == jnp.uint8:
        images = preprocess(images, params.spec)
    return binarize(logits(params, images))
