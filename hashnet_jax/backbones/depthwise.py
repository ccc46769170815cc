"""Depthwise convolution: each channel is filtered by itself."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_conv(images, kernel, stride):
    """Filters each channel with a kernel of its own, in TensorFlow's padding "SAME".

    XLA's grouped convolution is slow on a CPU, above all its gradient; there the sum over the k²
    places of the kernel is written out, which XLA fuses. Other platforms get the convolution.

    Args:
      images: float ``[B, H, W, C]``.
      kernel: ``[k, k, 1, C]`` of the same dtype.
      stride: in both directions.

    Returns:
      ``[B, ceil(H / stride), ceil(W / stride), C]``.

    Examples:
      >>> depthwise_conv(jnp.ones((1, 3, 3, 2)), jnp.ones((3, 3, 1, 2)), 2)[0, :, :, 0]
      Array([[4., 4.],
             [4., 4.]], dtype=float32)
    """
    return lax.platform_dependent(
        images,
        kernel,
        cpu=partial(sum_over_places, stride=stride),
        default=partial(grouped_conv, stride=stride),
    )


def _forward(images, kernel, stride):
    return depthwise_conv(images, kernel, stride), (images, kernel)


def _backward(stride, inputs, cotangent):
    # A choice of platform within, not around, the gradient: the derivative of the choice would
    # keep what either form saves, and the sum saves the image k² times.
    def gradient(form):
        return lambda images, kernel, cotangent: jax.vjp(
            partial(form, stride=stride), images, kernel
        )[1](cotangent)

    return lax.platform_dependent(
        *inputs, cotangent, cpu=gradient(sum_over_places), default=gradient(grouped_conv)
    )


depthwise_conv.defvjp(_forward, _backward)


def grouped_conv(images, kernel, stride):
    """:func:`depthwise_conv` as XLA's convolution with a group for each channel."""
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=images.shape[-1],
    )


def sum_over_places(images, kernel, stride):
    """:func:`depthwise_conv` as a sum over the places of the kernel, added up in float32."""
    batch, height, width, channels = images.shape
    size, out = kernel.shape[0], (-(-height // stride), -(-width // stride))
    padding = lax.padtype_to_pads((height, width), (size, size), (stride, stride), "SAME")
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    total = jnp.zeros((batch, *out, channels), jnp.float32)
    for row in range(size):
        for column in range(size):
            stop = (row + (out[0] - 1) * stride + 1, column + (out[1] - 1) * stride + 1)
            seen = lax.slice(
                padded, (0, row, column, 0), (batch, *stop, channels), (1, stride, stride, 1)
            )
            total += seen.astype(jnp.float32) * kernel[row, column].reshape(1, 1, 1, -1)
    return total.astype(images.dtype)


class DepthwiseConv(nn.Module):
    """A layer of :func:`depthwise_conv` without bias; its kernel is that of ``nn.Conv``."""

    kernel: int
    stride: int
    kernel_init: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs):
        shape = (self.kernel, self.kernel, 1, inputs.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return depthwise_conv(inputs.astype(self.dtype), kernel.astype(self.dtype), self.stride)
