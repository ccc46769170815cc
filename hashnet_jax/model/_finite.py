"""Rejects networks and images that contain NaN or infinity, as their codes would be meaningless."""

import jax
import numpy as np
from jaxtyping import Array, Shaped

from hashnet_jax.codes import visible_values
from hashnet_jax.model._params import HashNetParams


def check_finite(params: HashNetParams, *, source: str = "a network") -> None:
    """Raises a ValueError unless all weights and running statistics of a network are finite.

    NaN becomes -1 in a code, so a network that contains NaN would encode every image as the same
    code without an error. The command line calls this function after loading a network.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams`. Arrays that are traced, or that are
        partly on other hosts, are not checked.
      source: description of the network for the error message.

    Raises:
      ValueError: if an array has NaN or infinite entries; the message names the first such array.

    Examples:
      >>> import hashnet_jax
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> check_finite(params)
      >>> check_finite(jax.tree.map(lambda array: array * np.nan, params))
      Traceback (most recent call last):
      ...
      ValueError: all values in a network must be finite, but 16 of 16 entries of
      `batch_stats/backbone/bn1_1/mean` are NaN or infinite. ...
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params.variables):
        values = visible_values(leaf)
        if values is not None and not np.isfinite(values).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            count = int(np.sum(~np.isfinite(values)))
            raise ValueError(
                f"all values in {source} must be finite, but {count:,} of {values.size:,} "
                f"entries of `{name}` are NaN or infinite. Train the network again with a lower "
                "learning rate, or restore an earlier checkpoint."
            )


def check_finite_images(images: Shaped[Array | np.ndarray, "..."]) -> None:
    """Raises if untraced float images contain NaN or infinite values."""
    values = visible_values(images)
    if values is None or values.dtype == np.uint8:
        return
    finite = np.isfinite(values.astype(np.float32, copy=False))
    if not finite.all():
        place = tuple(int(i) for i in np.unravel_index(np.argmin(finite), finite.shape))
        raise ValueError(
            f"float `images` must be finite, but images{list(place)} is {values[place]}. Remove "
            "this image, or repair its values before encoding it."
        )
