"""VGG-11/13/16/19, with and without batch normalisation, in torchvision's form.

Reference: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, table 1, columns A, B, D and E.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from hashnet_jax.backbones.common import Dropout, adaptive_avg_pool, batch_norm, he_normal
from hashnet_jax.backbones.convolution import Conv
from hashnet_jax.backbones.pooling import max_pool

FILTERS = (64, 128, 256, 512, 512)

# convolutions in each of the five stages
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """[B, H, W, 3] to features [B, 4096]; H and W at least 32."""

    depth: int
    normalized: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train):
        x = images.astype(self.dtype)
        for stage, (filters, convs) in enumerate(zip(FILTERS, STAGES[self.depth], strict=True)):
            for conv in range(convs):
                place = f"{stage + 1}_{conv + 1}"
                x = Conv(
                    filters,
                    (3, 3),
                    padding=1,
                    dtype=self.dtype,
                    kernel_init=he_normal,
                    name=f"conv{place}",
                )(x)
                if self.normalized:
                    x = batch_norm(
                        train, dtype=self.dtype, axis_name=self.axis_name, name=f"bn{place}"
                    )(x)
                x = nn.relu(x)
            x = max_pool(x, 2, 2)
        x = adaptive_avg_pool(x, 7)
        x = x.reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = nn.Dense(4096, dtype=self.dtype, kernel_init=he_normal, name=name)(x)
            x = nn.relu(x)
            x = Dropout(0.5, self.axis_name)(x, train)
        return x
