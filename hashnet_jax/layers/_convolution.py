"""Convolution with fast CPU implementations.

XLA lowers the gradient with respect to the kernel to a convolution whose window is as large as the
image, which is much slower than a matrix product on a CPU. XLA also does not turn convolutions of
1 x 1 pixels, or of images of a few pixels, into matrix products on a CPU. On CPUs, kernel gradients
and these convolutions are therefore written as matrix products (:mod:`_cpu_matmul_convolution`),
and 3 x 3 and 5 x 5 convolutions use Winograd's algorithm (:mod:`_cpu_winograd`). Other platforms
use plain `jax.lax`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax import Array, lax
from jaxtyping import Float

from hashnet_jax.layers import _cpu_matmul_convolution as matmul
from hashnet_jax.layers import _cpu_winograd as winograd
from hashnet_jax.layers._cpu_batch_chunks import match_varying_axes
from hashnet_jax.layers._geometry import ConvGeometry
from hashnet_jax.layers._plain import is_plain

DIMENSION_NUMBERS = ("NHWC", "HWIO", "NHWC")


def convolve(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "kH kW C F"],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int] = (1, 1),
    rhs_dilation: Sequence[int] = (1, 1),
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Float[Array, "B Ho Wo F"]:
    """An ungrouped 2-D convolution to pass to ``flax.linen.Conv`` as ``conv_general_dilated``.

    Supports only reverse-mode differentiation, except inside
    :func:`hashnet_jax.layers.plain_layers`.

    Args:
      images: float ``[B, H, W, C]``.
      kernel: ``[kH, kW, C, F]``, of the same dtype as ``images``.
      strides: row and column strides, in pixels.
      padding: number of zeros at each edge, ``((top, bottom), (left, right))``, or ``"SAME"`` or
        ``"VALID"``.
      lhs_dilation, rhs_dilation, feature_group_count, precision: passed by ``flax.linen.Conv``;
        only the defaults are supported.
      dimension_numbers: passed by ``flax.linen.Conv``, always NHWC; ignored.

    Returns:
      The output, ``[B, H', W', F]``, in the dtype of ``images``.

    Raises:
      ValueError: if dilations, groups or a precision are requested.

    Examples:
      >>> import jax.numpy as jnp
      >>> convolve(jnp.ones((2, 5, 5, 3)), jnp.ones((3, 3, 3, 4)), (2, 2), "VALID").shape
      (2, 2, 2, 4)
    """
    _check_default("lhs_dilation", tuple(lhs_dilation), (1, 1))
    _check_default("rhs_dilation", tuple(rhs_dilation), (1, 1))
    _check_default("feature_group_count", feature_group_count, 1)
    _check_default("precision", precision, None)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], strides, padding)
    (row_stride, column_stride), ((top, bottom), (left, right)) = strides, padding
    geometry = ConvGeometry((row_stride, column_stride), ((top, bottom), (left, right)))
    # Under a shard_map that checks varying axes, images are sharded and the kernel is not. Their
    # axes are matched outside the custom gradient so that the kernel's gradient is summed over
    # devices.
    images, kernel = match_varying_axes(images, kernel), match_varying_axes(kernel, images)
    if is_plain("convolution"):
        return PLAIN.forward(images, kernel, geometry=geometry)
    return _convolve(images, kernel, geometry)


Conv = partial(nn.Conv, conv_general_dilated=convolve)


def _check_default(name: str, value: Any, default: Any) -> None:
    if value != default:
        raise ValueError(
            f"`{name}` must be {default}, got {value}. For other values, use flax.linen.Conv."
        )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(images: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    on_cpu = _cpu_forms(images, kernel, geometry)
    return _choose(on_cpu.forward, PLAIN.forward, geometry, images, kernel)


def _forward(
    images: Array, kernel: Array, geometry: ConvGeometry
) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(images, kernel, geometry), (images, kernel)


def _backward(
    geometry: ConvGeometry, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    on_cpu, operands = _cpu_forms(*saved, geometry), (*saved, gradient)
    return (
        _choose(on_cpu.input_gradient, PLAIN.input_gradient, geometry, *operands),
        _choose(on_cpu.kernel_gradient, PLAIN.kernel_gradient, geometry, *operands),
    )


_convolve.defvjp(_forward, _backward)


class ConvForms(NamedTuple):
    """Implementations of a convolution and its gradients with respect to its input and kernel."""

    forward: Callable[..., Array]
    input_gradient: Callable[..., Array]
    kernel_gradient: Callable[..., Array]


def _plain_conv(images: Array, kernel: Array, *, geometry: ConvGeometry) -> Array:
    strides, padding = geometry
    return lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=DIMENSION_NUMBERS
    )


def _plain_input_gradient(
    images: Array, kernel: Array, gradient: Array, *, geometry: ConvGeometry
) -> Array:
    return jax.vjp(lambda x: _plain_conv(x, kernel, geometry=geometry), images)[1](gradient)[0]


def _plain_kernel_gradient(
    images: Array, kernel: Array, gradient: Array, *, geometry: ConvGeometry
) -> Array:
    return jax.vjp(lambda w: _plain_conv(images, w, geometry=geometry), kernel)[1](gradient)[0]


PLAIN = ConvForms(_plain_conv, _plain_input_gradient, _plain_kernel_gradient)
POINTWISE = ConvForms(
    matmul.pointwise_conv, matmul.pointwise_input_gradient, matmul.kernel_gradient
)
WINOGRAD = ConvForms(winograd.convolve, winograd.input_gradient, winograd.kernel_gradient)
IM2COL = ConvForms(_plain_conv, _plain_input_gradient, matmul.kernel_gradient)
TINY = ConvForms(matmul.convolve, matmul.input_gradient, matmul.kernel_gradient)

# With outputs of 2 x 2 pixels, a plain convolution takes 3 to 17 times as long as a matrix product
# of patches. With 3 x 3 pixels, it is as fast.
MAX_TINY_PIXELS = 4
# Up to these sizes, unfolding takes longer than the plain gradient: 2 to 4 times with 16 channels.
MAX_PLAIN_GRADIENT_PIXELS, MAX_PLAIN_GRADIENT_CHANNELS = 64, 32


def _cpu_forms(images: Array, kernel: Array, geometry: ConvGeometry) -> ConvForms:
    """Returns the implementations of a convolution that are fastest on a CPU."""
    height, width, channels = kernel.shape[:3]
    if (height, width) == (1, 1) and geometry.padding == ((0, 0), (0, 0)):
        return POINTWISE
    is_known = all(isinstance(length, int) for length in images.shape[1:3])
    if height != width or not is_known:  # in an exported program, a size may be symbolic
        return IM2COL
    pixels = math.prod(geometry.output_size(images.shape[1:3], height))
    if pixels > MAX_TINY_PIXELS and winograd.is_faster(images, kernel, geometry):
        return WINOGRAD
    forms = TINY if pixels <= MAX_TINY_PIXELS else IM2COL
    if pixels <= MAX_PLAIN_GRADIENT_PIXELS and channels <= MAX_PLAIN_GRADIENT_CHANNELS:
        return forms._replace(kernel_gradient=_plain_kernel_gradient)
    return forms


def _choose(
    cpu_form: Callable[..., Array],
    plain_form: Callable[..., Array],
    geometry: ConvGeometry,
    *operands: Array,
) -> Array:
    """Applies ``cpu_form`` if the program is compiled for a CPU, and ``plain_form`` otherwise."""
    on_cpu, elsewhere = (partial(form, geometry=geometry) for form in (cpu_form, plain_form))
    if cpu_form is plain_form:
        return elsewhere(*operands)
    return lax.platform_dependent(*operands, cpu=on_cpu, default=elsewhere)
