"""AlexNet in torchvision's form: no LRN, no groups, features after the second dense layer.

Reference: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
HashNet's Caffe code uses CaffeNet (LRN and groups), its PyTorch code this network.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from hashnet_jax.backbones.common import Dropout, adaptive_avg_pool, he_normal
from hashnet_jax.backbones.convolution import Conv
from hashnet_jax.backbones.pooling import max_pool

# filters, kernel, stride, padding, and whether max-pooling 3/2 follows
LAYERS = (
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)


class AlexNet(nn.Module):
    """[B, H, W, 3] to features [B, 4096]; H and W at least 63."""

    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train):
        x = images.astype(self.dtype)
        for i, (filters, kernel, stride, padding, pooled) in enumerate(LAYERS):
            x = Conv(
                filters,
                (kernel, kernel),
                (stride, stride),
                padding=padding,
                dtype=self.dtype,
                kernel_init=he_normal,
                name=f"conv{i + 1}",
            )(x)
            x = nn.relu(x)
            if pooled:
                x = max_pool(x, 3, 2)
        x = adaptive_avg_pool(x, 6)
        x = x.reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = Dropout(0.5, self.axis_name)(x, train)
            x = nn.Dense(4096, dtype=self.dtype, kernel_init=he_normal, name=name)(x)
            x = nn.relu(x)
        return x
