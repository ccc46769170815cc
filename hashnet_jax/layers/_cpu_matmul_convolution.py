"""Convolutions written as matrix products, for the CPU.

A 1 x 1 convolution multiplies the channels of each pixel by a matrix. The gradient with respect to
a kernel of any size is the matrix product of unfolded patches (im2col) and the output's gradient.
"""

import math
from functools import partial

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from hashnet_jax.layers._cpu_batch_chunks import chunk_size, sum_over_chunks
from hashnet_jax.layers._geometry import ConvGeometry


def pointwise_conv(
    images: Float[Array, "B H W C"], kernel: Float[Array, "1 1 C F"], *, geometry: ConvGeometry
) -> Float[Array, "B Ho Wo F"]:
    """A 1 x 1 convolution without padding.

    Examples:
      >>> geometry = ConvGeometry((2, 2), ((0, 0), (0, 0)))
      >>> pointwise_conv(jnp.ones((2, 5, 5, 3)), jnp.ones((1, 1, 3, 4)), geometry=geometry).shape
      (2, 3, 3, 4)
    """
    row_stride, column_stride = geometry.strides
    strided = images[:, ::row_stride, ::column_stride]
    return lax.dot_general(strided, kernel[0, 0], (((3,), (0,)), ((), ())))


def pointwise_input_gradient(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "1 1 C F"],
    gradient: Float[Array, "B Ho Wo F"],
    *,
    geometry: ConvGeometry,
) -> Float[Array, "B H W C"]:
    """The gradient of :func:`pointwise_conv` with respect to the images."""
    product = lax.dot_general(gradient, kernel[0, 0], (((3,), (1,)), ((), ())))
    # Pixels skipped by the strides have zero gradient.
    dilation = (
        (0, length - (stride * (outputs - 1) + 1), stride - 1)
        for length, stride, outputs in zip(
            images.shape[1:3], geometry.strides, product.shape[1:3], strict=True
        )
    )
    return lax.pad(product, jnp.zeros((), product.dtype), ((0, 0, 0), *dilation, (0, 0, 0)))


def kernel_gradient(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "kH kW C F"],
    gradient: Float[Array, "B Ho Wo F"],
    *,
    geometry: ConvGeometry,
) -> Float[Array, "kH kW C F"]:
    """The gradient of a convolution with respect to its kernel.

    The result is the matrix product of patches^T [k k C, B H' W'] and gradient [B H' W', F],
    summed over chunks of the batch.
    """
    strides, padding = geometry
    kernel_size, output_size = kernel.shape[:2], gradient.shape[1:3]
    images = lax.pad(
        images,
        jnp.zeros((), images.dtype),
        ((0, 0, 0), *((before, after, 0) for before, after in padding), (0, 0, 0)),
    )

    def chunk_gradient(images: Array, gradient: Array) -> Array:
        patches = _patches(images, kernel_size, strides, output_size)
        return _transposed_product(
            patches.reshape(-1, patches.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        )

    batch = len(images)
    # The patches of a 1 x 1 kernel are the image itself, so nothing is unfolded.
    unfolded = math.prod(output_size) * math.prod(kernel.shape[:3])
    chunk = batch if kernel_size == (1, 1) else chunk_size(batch, unfolded)
    total = sum_over_chunks(chunk_gradient, chunk, images, gradient)
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _transposed_product(
    patches: Float[Array, "n P"], gradient: Float[Array, "n F"]
) -> Float[Array, "P F"]:
    """Computes ``patches.T @ gradient`` in float32.

    The narrower matrix comes first, which is faster than the reverse order.
    """
    product = partial(
        lax.dot_general,
        dimension_numbers=(((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )
    if patches.shape[1] < gradient.shape[1]:
        return product(patches, gradient)
    return product(gradient, patches).T


def _patches(
    images: Float[Array, "B H W C"],
    kernel_size: tuple[int, ...],
    strides: tuple[int, int],
    output_size: tuple[int, ...],
) -> Float[Array, "B Ho Wo P"]:
    """Unfolds padded images into the patches that the kernel covers, ``[B, H', W', k k C]``."""
    slices = []
    rows, columns = (s * (n - 1) + 1 for s, n in zip(strides, output_size, strict=True))
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            slices.append(images[:, i : i + rows : strides[0], j : j + columns : strides[1]])
    return slices[0] if len(slices) == 1 else jnp.concatenate(slices, axis=-1)
