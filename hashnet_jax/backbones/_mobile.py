"""The convolutions of networks for phones: EfficientNet-Lite and MobileNetV3."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.layers import Conv, DepthwiseConv, batch_norm, he_normal_fan_out


class ConvNorm(nn.Module):
    """A bias-free convolution, followed by batch normalisation with Google's settings.

    Attributes:
      filters: number of output channels; for a depthwise convolution, that of the input.
      kernel, stride: side of the kernel and stride, in pixels.
      depthwise: whether each channel has a kernel of its own.
      tf_padding: whether to pad as TensorFlow's "SAME", which with stride 2 and an even input size
        adds one more pixel at the end than at the start; otherwise symmetrically, as in torch.
    """

    filters: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    tf_padding: bool = False
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B Ho Wo F"]:
        x = self._conv()(x)
        return batch_norm(
            train,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="bn",
            momentum=0.99,
            epsilon=1e-3,
        )(x)

    def _conv(self) -> nn.Module:
        if self.depthwise:
            padding = None if self.tf_padding else self.kernel // 2
            return DepthwiseConv(
                self.kernel,
                self.stride,
                he_normal_fan_out,
                dtype=self.dtype,
                padding=padding,
                name="conv",
            )
        return Conv(
            self.filters,
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding="SAME" if self.tf_padding else self.kernel // 2,
            use_bias=False,
            kernel_init=he_normal_fan_out,
            dtype=self.dtype,
            name="conv",
        )
