"""Dropout whose mask does not depend on the number of devices."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


class Dropout(nn.Module):
    """Dropout whose mask depends on an image's position in the global batch, not on its device.

    The mask of an image is drawn with a key derived from the image's global index, so the same
    features are dropped regardless of the number of devices. `flax.linen.Dropout` instead draws the
    masks of all images on a device with one key.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "B *D"], train: bool) -> Float[Array, "B *D"]:
        if not train or self.rate == 0.0:
            return inputs
        first = 0
        if self.axis_name is not None:
            first = jax.lax.axis_index(self.axis_name) * inputs.shape[0]
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(
            self.make_rng("dropout"), first + jnp.arange(inputs.shape[0])
        )
        keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - self.rate, inputs.shape[1:]))(
            keys
        )
        return jnp.where(keep, inputs / (1.0 - self.rate), 0).astype(inputs.dtype)
