"""ResNet-18/34/50/101/152 in torchvision's form (v1.5: the stride in the 3x3 convolution).

Reference: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from hashnet_jax.backbones.common import batch_norm
from hashnet_jax.backbones.convolution import Conv
from hashnet_jax.backbones.pooling import max_pool

# blocks in each of the four stages
STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECK_FROM = 50  # depths from here on use blocks of 1x1, 3x3, 1x1

fan_out_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ConvNorm(nn.Module):
    """A convolution without bias, then batch normalisation."""

    filters: int
    kernel: int
    stride: int = 1
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        x = Conv(
            self.filters,
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding=self.kernel // 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=fan_out_normal,
            name="conv",
        )(x)
        return batch_norm(train, dtype=self.dtype, axis_name=self.axis_name, name="bn")(x)


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or a bottleneck that widens four times."""

    filters: int
    stride: int
    bottleneck: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        if self.bottleneck:
            layers = ((1, 1, 1), (3, self.stride, 1), (1, 1, 4))
        else:
            layers = ((3, self.stride, 1), (3, 1, 1))
        shortcut = x
        for i, (kernel, stride, widen) in enumerate(layers):
            if i > 0:
                x = nn.relu(x)
            filters = self.filters * widen
            x = ConvNorm(filters, kernel, stride, **shared, name=f"layer{i + 1}")(x, train)
        if shortcut.shape != x.shape:
            shortcut = ConvNorm(x.shape[-1], 1, self.stride, **shared, name="shortcut")(
                shortcut, train
            )
        return nn.relu(x + shortcut)


class ResNet(nn.Module):
    """[B, H, W, 3] to features [B, 512] (18, 34) or [B, 2048] (50 and deeper); H, W >= 32."""

    depth: int
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train):
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x = images.astype(self.dtype)
        x = nn.relu(ConvNorm(64, 7, 2, **shared, name="stem")(x, train))
        x = max_pool(x, 3, 2, padding=1)
        for stage, blocks in enumerate(STAGES[self.depth]):
            for block in range(blocks):
                x = Block(
                    filters=64 * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    bottleneck=self.depth >= BOTTLENECK_FROM,
                    **shared,
                    name=f"stage{stage + 1}_{block + 1}",
                )(x, train)
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
