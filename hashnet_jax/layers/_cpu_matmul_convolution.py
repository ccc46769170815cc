"""Convolutions written as matrix products, for the CPU.

A 1 x 1 convolution multiplies the channels of each pixel by a matrix. A kernel of any size
multiplies unfolded patches (im2col), and the gradient with respect to it is the matrix product of
these patches and the output's gradient.
"""

import math
from functools import partial

import jax
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


def convolve(
    images: Float[Array, "B H W C"], kernel: Float[Array, "kH kW C F"], *, geometry: ConvGeometry
) -> Float[Array, "B Ho Wo F"]:
    """A convolution of a whole batch at once, for images of a few pixels.

    Examples:
      >>> geometry = ConvGeometry((1, 1), ((1, 1), (1, 1)))
      >>> convolve(jnp.ones((1, 2, 2, 5)), jnp.ones((3, 3, 5, 1)), geometry=geometry)[0, :, :, 0]
      Array([[20., 20.],
             [20., 20.]], dtype=float32)
    """
    kernel_size = kernel.shape[:2]
    output_size = geometry.output_size(images.shape[1:3], kernel_size[0])
    patches = _patches(_pad(images, geometry), kernel_size, geometry.strides, output_size)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return lax.dot_general(patches, matrix, (((3,), (0,)), ((), ())))


def input_gradient(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "kH kW C F"],
    gradient: Float[Array, "B Ho Wo F"],
    *,
    geometry: ConvGeometry,
) -> Float[Array, "B H W C"]:
    """The gradient of :func:`convolve` with respect to the images."""
    return jax.vjp(lambda images: convolve(images, kernel, geometry=geometry), images)[1](gradient)[
        0
    ]


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
    kernel_size, output_size = kernel.shape[:2], gradient.shape[1:3]
    images = _pad(images, geometry)

    def chunk_gradient(images: Array, gradient: Array) -> Array:
        patches = _patches(images, kernel_size, geometry.strides, output_size)
        return _transposed_product(
            patches.reshape(-1, patches.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        )

    batch = len(images)
    # The patches of a 1 x 1 kernel are the image itself, so nothing is unfolded.
    unfolded = math.prod(output_size) * math.prod(kernel.shape[:3])
    chunk = batch if kernel_size == (1, 1) else chunk_size(batch, unfolded)
    total = sum_over_chunks(chunk_gradient, chunk, images, gradient)
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _pad(images: Float[Array, "B H W C"], geometry: ConvGeometry) -> Float[Array, "B Hp Wp C"]:
    rows, columns = ((before, after, 0) for before, after in geometry.padding)
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), rows, columns, (0, 0, 0)))


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
