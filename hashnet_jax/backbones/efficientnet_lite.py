"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, and with ReLU6 for swish.

References:
  Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
  table 1; the Lite variants are Google's, in the `tpu` repository, without a paper. Their training
  drops whole blocks and features at random; that is left out here.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from hashnet_jax.backbones.common import batch_norm
from hashnet_jax.backbones.convolution import Conv
from hashnet_jax.backbones.depthwise import DepthwiseConv

# of each stage: expansion, kernel, stride of its first block, filters, blocks
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM_FILTERS, HEAD_FILTERS = 32, 1280

fan_out_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def blocks():
    """``(expansion, kernel, stride, filters)`` of each of the 16 blocks."""
    return tuple(
        (expansion, kernel, stride if repeat == 0 else 1, filters)
        for expansion, kernel, stride, filters, repeats in STAGES
        for repeat in range(repeats)
    )


class ConvNorm(nn.Module):
    """A convolution without bias in TensorFlow's padding, then batch normalisation.

    With stride 2 and an even side, "SAME" pads one more at the end than at the beginning, where
    torch's symmetric padding would look at other pixels. Constants of batch normalisation: Google's
    training.
    """

    filters: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        shared = {"dtype": self.dtype, "kernel_init": fan_out_normal, "name": "conv"}
        if self.depthwise:
            conv = DepthwiseConv(self.kernel, self.stride, **shared)
        else:
            size, strides = (self.kernel, self.kernel), (self.stride, self.stride)
            conv = Conv(self.filters, size, strides, padding="SAME", use_bias=False, **shared)
        x = conv(x)
        return batch_norm(
            train,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="bn",
            momentum=0.99,
            epsilon=1e-3,
        )(x)


class InvertedBottleneck(nn.Module):
    """Widen by a 1x1 convolution, filter each channel by itself, narrow by a 1x1 convolution."""

    expansion: int
    kernel: int
    stride: int
    filters: int
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs, train):
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x, wide = inputs, inputs.shape[-1] * self.expansion
        if self.expansion > 1:
            x = nn.relu6(ConvNorm(wide, **shared, name="expand")(x, train))
        x = ConvNorm(wide, self.kernel, self.stride, depthwise=True, **shared, name="depthwise")(
            x, train
        )
        x = ConvNorm(self.filters, **shared, name="project")(nn.relu6(x), train)
        return x + inputs if x.shape == inputs.shape else x


class EfficientNetLite0(nn.Module):
    """[B, H, W, 3] to features [B, 1280]; H and W at least 32."""

    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train):
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x = images.astype(self.dtype)
        x = nn.relu6(ConvNorm(STEM_FILTERS, 3, 2, **shared, name="stem")(x, train))
        for i, (expansion, kernel, stride, filters) in enumerate(blocks()):
            x = InvertedBottleneck(
                expansion, kernel, stride, filters, **shared, name=f"block{i + 1}"
            )(x, train)
        x = nn.relu6(ConvNorm(HEAD_FILTERS, **shared, name="head")(x, train))
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
