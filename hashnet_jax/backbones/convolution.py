"""Convolutions whose gradients are fast on the CPU too.

The gradient by the kernel is, to XLA, a convolution with a window as large as the image, which its
CPU code does at a fraction of the speed of a matrix product; and convolutions of 1 x 1 it does not
take for the products that they are. There, both are written as products here, and convolutions of
3 x 3 and 5 x 5 take Winograd's form. On every other platform the program is the plain one of
`jax.lax`.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from hashnet_jax.backbones import winograd
from hashnet_jax.backbones.parts import part_size, sum_parts, vary_alike

LAYOUT = ("NHWC", "HWIO", "NHWC")


# What flax.linen.Conv passes besides; its fifth, the dimension numbers, is always NHWC.
DEFAULTS = {
    "lhs_dilation": (1, 1),
    "rhs_dilation": (1, 1),
    "feature_group_count": 1,
    "precision": None,
}


def convolve(images, kernel, strides, padding, *, dimension_numbers=None, **others):
    """The convolution of ``[B, H, W, C]`` with a kernel ``[k, k, C, F]``, without groups.

    Its gradients can be taken in reverse mode, not in forward mode.

    Args:
      images: float ``[B, H, W, C]``.
      kernel: of the same dtype, ``[k, k, C, F]``.
      strides: of rows and of columns, pixels.
      padding: zeros before and after rows and columns, ``((top, bottom), (left, right))``, or
        ``"SAME"`` or ``"VALID"``.
      dimension_numbers, others: what ``flax.linen.Conv`` passes besides, at its ``DEFAULTS``.

    Returns:
      ``[B, H', W', F]`` of the same dtype.

    Raises:
      ValueError: for dilations, groups or a precision.

    Examples:
      >>> convolve(jnp.ones((2, 5, 5, 3)), jnp.ones((3, 3, 3, 4)), (2, 2), "VALID").shape
      (2, 2, 2, 4)
    """
    for name, value in others.items():
        if value != DEFAULTS[name]:
            raise ValueError(
                f"{name} must be {DEFAULTS[name]}, got {value}: use flax.linen.Conv as it is."
            )
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], strides, padding)
    # Under a shard_map that checks how values vary, split images and one kernel are made alike
    # outside of the gradients' own rules: so the kernel's gradient is summed over devices.
    images, kernel = vary_alike(images, kernel), vary_alike(kernel, images)
    return _convolve(images, kernel, (tuple(strides), tuple(map(tuple, padding))))


Conv = partial(nn.Conv, conv_general_dilated=convolve)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(images, kernel, sizes):
    on_cpu, *_ = _forms_of_cpu(images, kernel, sizes)
    return _choose(on_cpu, _plain, sizes, images, kernel)


def _forward(images, kernel, sizes):
    return _convolve(images, kernel, sizes), (images, kernel)


def _backward(sizes, saved, gradient):
    _, by_images, by_kernel = _forms_of_cpu(*saved, sizes)
    return (
        _choose(by_images, _plain_by_images, sizes, *saved, gradient),
        _choose(by_kernel, _plain_by_kernel, sizes, *saved, gradient),
    )


_convolve.defvjp(_forward, _backward)


def _forms_of_cpu(images, kernel, sizes):
    """What the CPU takes: for the convolution, its gradient by the images and by the kernel."""
    if kernel.shape[:2] == (1, 1) and sizes[1] == ((0, 0), (0, 0)):
        return _product, _product_by_images, _product_by_kernel
    if winograd.is_faster(images, kernel, sizes):
        return winograd.convolve, winograd.by_images, winograd.by_kernel
    return _plain, _plain_by_images, _product_by_kernel


def _choose(on_cpu, elsewhere, sizes, *operands):
    on_cpu, elsewhere = (partial(form, sizes=sizes) for form in (on_cpu, elsewhere))
    if on_cpu.func is elsewhere.func:
        return elsewhere(*operands)
    return lax.platform_dependent(*operands, cpu=on_cpu, default=elsewhere)


def _plain(images, kernel, *, sizes):
    strides, padding = sizes
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=LAYOUT)


def _plain_by_images(images, kernel, gradient, *, sizes):
    return jax.vjp(lambda x: _plain(x, kernel, sizes=sizes), images)[1](gradient)[0]


def _plain_by_kernel(images, kernel, gradient, *, sizes):
    return jax.vjp(lambda w: _plain(images, w, sizes=sizes), kernel)[1](gradient)[0]


def _product(images, kernel, *, sizes):
    (rows, columns), _ = sizes
    return lax.dot_general(images[:, ::rows, ::columns], kernel[0, 0], (((3,), (0,)), ((), ())))


def _product_by_images(images, kernel, gradient, *, sizes):
    strides, _ = sizes
    product = lax.dot_general(gradient, kernel[0, 0], (((3,), (1,)), ((), ())))
    back = (
        (0, length - (stride * (outputs - 1) + 1), stride - 1)
        for length, stride, outputs in zip(
            images.shape[1:3], strides, product.shape[1:3], strict=True
        )
    )
    return lax.pad(product, jnp.zeros((), product.dtype), ((0, 0, 0), *back, (0, 0, 0)))


def _product_by_kernel(images, kernel, gradient, *, sizes):
    """The sum over parts of the batch of patches^T gradient: [k k C, B H' W'] [B H' W', F]."""
    strides, padding = sizes
    seen, filters = math.prod(kernel.shape[:3]), kernel.shape[-1]
    images = lax.pad(
        images,
        jnp.zeros((), images.dtype),
        ((0, 0, 0), *((before, after, 0) for before, after in padding), (0, 0, 0)),
    )

    def of_part(images, gradient):
        patches = _patches(images, kernel.shape[:2], strides, gradient.shape[1:3])
        factors = patches.reshape(-1, seen), gradient.reshape(-1, filters)
        # With its smaller side first the product is fastest; its transpose is small.
        product = partial(
            lax.dot_general,
            dimension_numbers=(((0,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        return product(*factors) if seen < filters else product(*factors[::-1]).T

    batch = len(images)
    # What 1 x 1 sees is the image itself: nothing is unfolded.
    unfolded = math.prod(gradient.shape[1:3]) * seen
    part = batch if kernel.shape[:2] == (1, 1) else part_size(batch, unfolded)
    total = sum_parts(of_part, part, images, gradient)
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _patches(images, kernel, strides, outputs):
    """What the kernel sees, unfolded: ``[B, H', W', k k C]`` of padded images."""
    slices = []
    rows, columns = (s * (n - 1) + 1 for s, n in zip(strides, outputs, strict=True))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            slices.append(images[:, i : i + rows : strides[0], j : j + columns : strides[1]])
    return slices[0] if len(slices) == 1 else jnp.concatenate(slices, axis=-1)
