"""Pieces that several backbones share. Images are NHWC throughout."""

import flax.linen as nn
import jax
import jax.numpy as jnp

# He et al., "Delving Deep into Rectifiers", 2015: keeps the scale of activations through ReLU.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Dropout(nn.Module):
    """Dropout whose mask depends on an image's place in the global batch, not on its device.

    Each image draws from the key folded with its global index, so a batch is treated alike on one
    device and on several. `flax.linen.Dropout` draws one mask a device and could not be compared.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs, train):
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


def batch_norm(
    train,
    *,
    dtype,
    axis_name,
    name,
    momentum=0.9,
    epsilon=1e-5,
    scale_init=nn.initializers.ones,
):
    """Batch normalisation, its statistics over the global batch.

    The default constants are torchvision's; ``momentum`` is the share of the old running
    statistics, one minus torch's.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        axis_name=axis_name if train else None,
        scale_init=scale_init,
        name=name,
    )


def adaptive_avg_pool(inputs, size):
    """Averages [B, H, W, C] to [B, size, size, C], over the bins of torch's AdaptiveAvgPool2d.

    Bin i of n covers floor(i H / n) up to ceil((i + 1) H / n): bins may overlap, and repeat rows
    where H < n. Where H = W = size, nothing is computed.
    """
    height, width = inputs.shape[1:3]
    if (height, width) == (size, size):
        return inputs
    rows = _bin_averages(height, size).astype(inputs.dtype)
    columns = _bin_averages(width, size).astype(inputs.dtype)
    return jnp.einsum("bhwc,ih,jw->bijc", inputs, rows, columns)


def _bin_averages(length, bins):
    place = jnp.arange(length)
    start = jnp.arange(bins) * length // bins
    stop = -(-(jnp.arange(bins) + 1) * length // bins)
    inside = (place[None, :] >= start[:, None]) & (place[None, :] < stop[:, None])
    return inside / jnp.sum(inside, axis=1, keepdims=True)
