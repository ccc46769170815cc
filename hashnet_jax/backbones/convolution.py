"""Convolutions whose gradients are fast on the CPU too.

The gradient by the kernel is, to XLA, a convolution with a window as large as the image, which its
CPU code does at a fraction of the speed of a matrix product; and convolutions of 1 x 1 it does not
take for the products that they are. There, both are written as products here. On every other
platform the program is the plain one of `jax.lax`.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
# Of the patches that are unfolded at a time, bytes: what is written stays in the last cache, and
# one buffer serves all parts of a batch.
PATCHES = 2**24


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
    images, kernel = _vary_alike(images, kernel), _vary_alike(kernel, images)
    return _convolve(images, kernel, (tuple(strides), tuple(map(tuple, padding))))


Conv = partial(nn.Conv, conv_general_dilated=convolve)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(images, kernel, sizes):
    plain = partial(_plain, sizes=sizes)
    if not _is_product(kernel, sizes):
        return plain(images, kernel)
    return lax.platform_dependent(images, kernel, cpu=partial(_product, sizes=sizes), default=plain)


def _forward(images, kernel, sizes):
    return _convolve(images, kernel, sizes), (images, kernel)


def _backward(sizes, saved, gradient):
    images, kernel = saved
    by_images = partial(_plain_by_images, sizes=sizes)
    choose = partial(lax.platform_dependent, images, kernel, gradient)
    if _is_product(kernel, sizes):
        of_images = choose(cpu=partial(_product_by_images, sizes=sizes), default=by_images)
    else:
        of_images = by_images(images, kernel, gradient)
    of_kernel = choose(
        cpu=partial(_product_by_kernel, sizes=sizes), default=partial(_plain_by_kernel, sizes=sizes)
    )
    return of_images, of_kernel


_convolve.defvjp(_forward, _backward)


def _vary_alike(x, other):
    """``x`` as a value that differs along all mapped axes that ``other`` differs along."""
    missing = tuple(_varying(other) - _varying(x))
    return lax.pcast(x, missing, to="varying") if missing else x


def _varying(x):
    kind = jax.typeof(x)
    return kind.mat.varying if hasattr(kind, "mat") else kind.vma  # jax 0.10 moved it


def _plain(images, kernel, *, sizes):
    strides, padding = sizes
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=LAYOUT)


def _plain_by_images(images, kernel, gradient, *, sizes):
    return jax.vjp(lambda x: _plain(x, kernel, sizes=sizes), images)[1](gradient)[0]


def _plain_by_kernel(images, kernel, gradient, *, sizes):
    return jax.vjp(lambda w: _plain(images, w, sizes=sizes), kernel)[1](gradient)[0]


def _is_product(kernel, sizes):
    return kernel.shape[:2] == (1, 1) and sizes[1] == ((0, 0), (0, 0))


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
    """The sum over parts of the batch of gradient^T patches: [F, B H' W'] [B H' W', k k C]."""
    strides, padding = sizes
    filters = gradient.shape[-1]
    images = lax.pad(
        images,
        jnp.zeros((), images.dtype),
        ((0, 0, 0), *((before, after, 0) for before, after in padding), (0, 0, 0)),
    )

    def of_part(images, gradient):
        patches = _patches(images, kernel.shape[:2], strides, gradient.shape[1:3])
        # In this order the product is fastest; its transpose is small.
        return lax.dot_general(
            gradient.reshape(-1, filters),
            patches.reshape(-1, patches.shape[-1]),
            (((0,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        )

    batch = images.shape[0]
    part = _part(batch, math.prod(gradient.shape[1:3]) * math.prod(kernel.shape[:3]))
    if part == batch or kernel.shape[:2] == (1, 1):
        total = of_part(images, gradient)
    else:
        parts = [x.reshape(batch // part, part, *x.shape[1:]) for x in (images, gradient)]
        total, _ = lax.scan(
            lambda total, x: (total + of_part(*x), None),
            _vary_alike(jnp.zeros((filters, math.prod(kernel.shape[:3]))), gradient),
            parts,
        )
    return total.T.reshape(kernel.shape).astype(kernel.dtype)


def _part(batch, of_one):
    """How many images are unfolded at a time: a divisor of the batch, within ``PATCHES`` bytes."""
    fits = max(1, PATCHES // (4 * of_one))
    return max(size for size in range(1, batch + 1) if batch % size == 0 and size <= fits)


def _patches(images, kernel, strides, outputs):
    """What the kernel sees, unfolded: ``[B, H', W', k k C]`` of padded images."""
    slices = []
    rows, columns = (s * (n - 1) + 1 for s, n in zip(strides, outputs, strict=True))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            slices.append(images[:, i : i + rows : strides[0], j : j + columns : strides[1]])
    return slices[0] if len(slices) == 1 else jnp.concatenate(slices, axis=-1)
