"""From uint8 images to what the backbone sees, on device: squash, centre crop, normalise."""

import jax
import jax.numpy as jnp


def normalize(images, spec):
    """(x/255 - mean)/std of each channel.

    Args:
      images: uint8 ``[B, H, W, 3]``, RGB.
      spec: :class:`hashnet_jax.ModelSpec`.

    Returns:
      float32 of the same shape.

    Examples:
      >>> from hashnet_jax import ModelSpec
      >>> spec = ModelSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
      >>> normalize(jnp.full((1, 1, 1, 3), 255, jnp.uint8), spec).ravel()
      Array([1., 1., 1.], dtype=float32)
    """
    mean = jnp.asarray(spec.mean, jnp.float32).reshape(1, 1, 1, 3)
    std = jnp.asarray(spec.std, jnp.float32).reshape(1, 1, 1, 3)
    return (images.astype(jnp.float32) / 255.0 - mean) / std


def preprocess(images, spec):
    """Test preprocessing: squash to ``resize`` squared, cut the centre out, normalise.

    Args:
      images: uint8 ``[B, H, W, 3]``, RGB, of any height and width.
      spec: :class:`hashnet_jax.ModelSpec`.

    Returns:
      float32 ``[B, image_size, image_size, 3]``.

    Raises:
      TypeError: if the images are not uint8.
      ValueError: if they are not ``[B, H, W, 3]`` with H, W >= 1.

    Examples:
      >>> from hashnet_jax import ModelSpec
      >>> preprocess(jnp.zeros((2, 300, 200, 3), jnp.uint8), ModelSpec()).shape
      (2, 224, 224, 3)

    References:
      The authors squash to 256 x 256 without keeping the aspect ratio and cut the centre 224 out.
      Linear interpolation with antialiasing, rounded to whole levels: PIL's BILINEAR to within
      one level of 255 (a few of them where a data set decodes a large JPEG at reduced size). So an
      image resized by PIL, as data sets are, and one resized here have the same code but for a
      rare bit whose logit is near 0.
    """
    if images.dtype != jnp.uint8:
        raise TypeError(f"images must be uint8, got {images.dtype}.")
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:3]:
        raise ValueError(
            f"images must be [B, H, W, 3] with H, W >= 1, got {images.shape}: add the batch axis "
            "with images[None], and repeat a grey channel three times."
        )
    size, crop = spec.resize, spec.image_size
    if images.shape[1:3] != (size, size):
        shape = (images.shape[0], size, size, 3)
        resized = jax.image.resize(images.astype(jnp.float32), shape, "linear", antialias=True)
        images = jnp.clip(jnp.round(resized), 0, 255).astype(jnp.uint8)
    first = (size - crop) // 2
    return normalize(images[:, first : first + crop, first : first + crop, :], spec)
