"""A small CNN for small images (digits 8x8, MNIST 28x28, CIFAR 32x32), trained from scratch."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from hashnet_jax.backbones.common import batch_norm, he_normal
from hashnet_jax.backbones.convolution import Conv
from hashnet_jax.backbones.pooling import max_pool


class SmallCNN(nn.Module):
    """[B, H, W, 3] to features [B, 256]; H and W at least 4.

    Three stages of two 3x3 convolutions with batch normalisation, halved in between, the mean over
    what is left of the image, and a dense layer.
    """

    dtype: Any = jnp.float32
    axis_name: str | None = None
    filters: tuple[int, ...] = (16, 32, 64)
    features: int = 256

    @nn.compact
    def __call__(self, images, train):
        x = images.astype(self.dtype)
        for stage, filters in enumerate(self.filters):
            if stage > 0:
                x = max_pool(x, 2, 2)
            for conv in range(2):
                place = f"{stage + 1}_{conv + 1}"
                x = Conv(
                    filters,
                    (3, 3),
                    padding=1,
                    use_bias=False,
                    dtype=self.dtype,
                    kernel_init=he_normal,
                    name=f"conv{place}",
                )(x)
                x = batch_norm(
                    train, dtype=self.dtype, axis_name=self.axis_name, name=f"bn{place}"
                )(x)
                x = nn.relu(x)
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
        x = nn.Dense(
            self.features, use_bias=False, dtype=self.dtype, kernel_init=he_normal, name="dense"
        )(x)
        # Without it the hash layer sees features whose scale drifts, and learns much slower.
        x = batch_norm(train, dtype=self.dtype, axis_name=self.axis_name, name="bn_dense")(x)
        return nn.relu(x)
