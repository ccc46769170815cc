"""Depthwise convolution, with one filter per channel."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.layers._plain import is_plain


def depthwise_conv(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k 1 C"],
    stride: int,
    padding: int | None = None,
) -> Float[Array, "B Ho Wo C"]:
    """Filters each channel with its own kernel.

    XLA's grouped convolution is slow on a CPU, especially its gradient. On a CPU, this function
    therefore uses an unrolled sum over the k² kernel positions, which XLA fuses. Other platforms
    use the grouped convolution.

    Args:
      images: float ``[B, H, W, C]``.
      kernel: ``[k, k, 1, C]``, of the same dtype as ``images``.
      stride: stride in both directions, in pixels.
      padding: number of zeros at each edge, as in torch; None for TensorFlow's "SAME" padding,
        which may add one more pixel at the end than at the start.

    Returns:
      The filtered images, ``[B, H', W', C]`` with H' = ceil(H / stride), or with a given padding
      H' = (H + 2 padding - k) // stride + 1, and the same for W'.

    Examples:
      >>> depthwise_conv(jnp.ones((1, 3, 3, 2)), jnp.ones((3, 3, 1, 2)), 2)[0, :, :, 0]
      Array([[4., 4.],
             [4., 4.]], dtype=float32)
    """
    if is_plain("depthwise"):
        return grouped_conv(images, kernel, stride, padding)
    return _depthwise_conv(images, kernel, stride, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise_conv(images: Array, kernel: Array, stride: int, padding: int | None) -> Array:
    return lax.platform_dependent(
        images,
        kernel,
        cpu=partial(shift_and_add, stride=stride, padding=padding),
        default=partial(grouped_conv, stride=stride, padding=padding),
    )


def _forward(
    images: Array, kernel: Array, stride: int, padding: int | None
) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise_conv(images, kernel, stride, padding), (images, kernel)


def _backward(
    stride: int, padding: int | None, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    # Choose the platform inside the gradient, since differentiating platform_dependent would keep
    # the residuals of both implementations, and shift_and_add saves the image k² times.
    def vjp_of(form: Callable[..., Array]) -> Callable[..., tuple[Array, Array]]:
        return lambda images, kernel, gradient: jax.vjp(
            partial(form, stride=stride, padding=padding), images, kernel
        )[1](gradient)

    return lax.platform_dependent(
        *saved, gradient, cpu=vjp_of(shift_and_add), default=vjp_of(grouped_conv)
    )


_depthwise_conv.defvjp(_forward, _backward)


def _pads(
    images: Array, kernel: Array, stride: int, padding: int | None
) -> Sequence[tuple[int, int]]:
    """Returns the zeros before and after the rows, and before and after the columns."""
    if padding is not None:
        return [(padding, padding)] * 2
    return lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], (stride, stride), "SAME")


def grouped_conv(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k 1 C"],
    stride: int,
    padding: int | None = None,
) -> Float[Array, "B Ho Wo C"]:
    """Computes :func:`depthwise_conv` with XLA's grouped convolution, one group per channel."""
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        _pads(images, kernel, stride, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=images.shape[-1],
    )


def shift_and_add(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k 1 C"],
    stride: int,
    padding: int | None = None,
) -> Float[Array, "B Ho Wo C"]:
    """Computes :func:`depthwise_conv` as a sum over kernel positions, accumulated in float32."""
    batch, channels, size = images.shape[0], images.shape[3], kernel.shape[0]
    padded = jnp.pad(images, ((0, 0), *_pads(images, kernel, stride, padding), (0, 0)))
    out = [(length - size) // stride + 1 for length in padded.shape[1:3]]
    total = jnp.zeros((batch, *out, channels), jnp.float32)
    for row in range(size):
        for column in range(size):
            stop = (row + (out[0] - 1) * stride + 1, column + (out[1] - 1) * stride + 1)
            shifted = lax.slice(
                padded, (0, row, column, 0), (batch, *stop, channels), (1, stride, stride, 1)
            )
            total += shifted.astype(jnp.float32) * kernel[row, column].reshape(1, 1, 1, -1)
    return total.astype(images.dtype)


class DepthwiseConv(nn.Module):
    """A :func:`depthwise_conv` layer without bias; kernel shape as in a grouped ``nn.Conv``."""

    kernel: int
    stride: int
    kernel_init: Initializer
    dtype: DTypeLike = jnp.float32
    padding: int | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "B H W C"]) -> Float[Array, "B Ho Wo C"]:
        shape = (self.kernel, self.kernel, 1, inputs.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return depthwise_conv(
            inputs.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.padding
        )
