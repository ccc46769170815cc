"""Compares the CPU implementation of depthwise convolution with XLA's grouped convolution."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export

from hashnet_jax.layers import plain_layers
from hashnet_jax.layers._depthwise import depthwise_conv, grouped_conv


def images_and_kernel(
    height: int,
    width: int,
    size: int,
    batch: int = 2,
    channels: int = 6,
    dtype: Any = jnp.float32,
) -> tuple[Array, Array]:
    keys = jax.random.split(jax.random.key(0))
    images = jax.random.normal(keys[0], (batch, height, width, channels), dtype)
    return images, jax.random.normal(keys[1], (size, size, 1, channels), dtype)


def values_and_gradients(
    form: Callable[..., Array], images: Array, kernel: Array, stride: int
) -> tuple[Array, ...]:
    """Returns the output, and the gradients of a sum that weights each output differently."""

    @jax.jit
    def output_and_gradients(images: Array, kernel: Array) -> tuple[Array, ...]:
        out, vjp = jax.vjp(lambda images, kernel: form(images, kernel, stride), images, kernel)
        return out, *vjp(jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape))

    return output_and_gradients(images, kernel)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (1, 2)])
def test_values_and_gradients_match_the_grouped_convolution(
    height: int, width: int, stride: int, size: int
) -> None:
    inputs = images_and_kernel(height, width, size)
    found = values_and_gradients(depthwise_conv, *inputs, stride)
    expected = values_and_gradients(grouped_conv, *inputs, stride)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10)])
def test_with_a_given_padding_all_edges_get_as_many_zeros(
    height: int, width: int, stride: int, size: int
) -> None:
    inputs = images_and_kernel(height, width, size)

    def padded(images: Array, kernel: Array, stride: int) -> Array:
        return depthwise_conv(images, kernel, stride, size // 2)

    def expected(images: Array, kernel: Array, stride: int) -> Array:
        edges = [(size // 2, size // 2)] * 2
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            images, kernel, (stride, stride), edges, dimension_numbers=layout, feature_group_count=6
        )

    pairs = zip(
        values_and_gradients(padded, *inputs, stride),
        values_and_gradients(expected, *inputs, stride),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_accumulated_in_float32() -> None:
    images, kernel = images_and_kernel(9, 9, 5, dtype=jnp.bfloat16)
    found = values_and_gradients(depthwise_conv, images, kernel, 1)
    exact = values_and_gradients(
        grouped_conv, images.astype(jnp.float32), kernel.astype(jnp.float32), 1
    )
    assert all(array.dtype == jnp.bfloat16 for array in found)
    np.testing.assert_allclose(found[0].astype(jnp.float32), exact[0], rtol=2**-7, atol=2**-7)


def test_vmap_convolves_each_batch_separately() -> None:
    images, kernel = images_and_kernel(6, 6, 3, batch=4)
    convolve = partial(depthwise_conv, stride=2)
    mapped = jax.vmap(lambda images: convolve(images, kernel))(images.reshape(2, 2, 6, 6, 6))
    np.testing.assert_allclose(
        mapped.reshape(4, 3, 3, 6), convolve(images, kernel), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 0), ("cuda", 3), ("tpu", 3)])
def test_only_the_cpu_program_is_a_sum(platform: str, convolutions: int) -> None:
    inputs = images_and_kernel(6, 6, 3)
    program = export.export(
        jax.jit(partial(values_and_gradients, depthwise_conv, stride=1)), platforms=[platform]
    )(*inputs).mlir_module()
    assert program.count("stablehlo.convolution") == convolutions


def test_a_program_of_plain_layers_has_the_sum_only_if_depthwise_layers_are_left_out() -> None:
    shapes = jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 1, 4))

    def convolutions() -> int:
        convolve = jax.jit(partial(depthwise_conv, stride=1))
        return convolve.lower(*shapes).as_text().count("stablehlo.convolution")

    with plain_layers():
        assert convolutions() == 1
    with plain_layers(depthwise=False):
        assert convolutions() == 0
    assert convolutions() == 0
