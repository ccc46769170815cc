"""Images to binary codes: the one function that other JAX code calls."""

import jax
import jax.numpy as jnp

from hashnet_jax.continuation import binarize
from hashnet_jax.model import HashNetParams, logits
from hashnet_jax.preprocess import preprocess


def encode(params, images):
    """Binary codes sgn(z) of images.

    Pure, and works under ``jax.jit``, ``vmap`` and ``jax.export``. A call from outside of jit is
    compiled once for each shape of images: fill a last, smaller batch up rather than encode it as
    it is, as :func:`hashnet_jax.evaluation.encode_all` does.

    Args:
      params: :class:`HashNetParams`, from :func:`hashnet_jax.load` or :func:`hashnet_jax.init`.
      images: uint8 ``[B, H, W, 3]``, RGB 0..255, of any size: squashed, centre-cropped and
        normalised as ``params.spec`` says; or float ``[B, S, S, 3]``, S =
        ``params.spec.image_size``, already preprocessed.

    Returns:
      int8 ``[B, K]``, each entry -1 or +1.

    Raises:
      TypeError: if ``params`` are not HashNetParams or images neither uint8 nor float.
      ValueError: if images have another shape.

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
            f"params must be HashNetParams, got {type(params).__name__}: use "
            "hashnet_jax.load(run_dir) or hashnet_jax.init(key, spec)."
        )
    images = jnp.asarray(images)
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"images must be uint8 (0..255), or float and already preprocessed, got {images.dtype}."
        )
    return _encode(params, images)


@jax.jit
def _encode(params, images):
    if images.dtype == jnp.uint8:
        images = preprocess(images, params.spec)
    return binarize(logits(params, images))
