"""Depthwise convolution: its form on a CPU against XLA's grouped convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from hashnet_jax.backbones.depthwise import depthwise_conv, grouped_conv


def images_and_kernel(height, width, size, batch=2, channels=6, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0))
    images = jax.random.normal(keys[0], (batch, height, width, channels), dtype)
    return images, jax.random.normal(keys[1], (size, size, 1, channels), dtype)


def values_and_gradients(form, images, kernel, stride):
    """The result, and the gradients of a sum that weighs each place differently."""

    @jax.jit
    def of(images, kernel):
        out, pull = jax.vjp(lambda images, kernel: form(images, kernel, stride), images, kernel)
        return out, *pull(jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape))

    return of(images, kernel)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (1, 2)])
def test_values_and_gradients_are_those_of_the_grouped_convolution(height, width, stride, size):
    inputs = images_and_kernel(height, width, size)
    found = values_and_gradients(depthwise_conv, *inputs, stride)
    expected = values_and_gradients(grouped_conv, *inputs, stride)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_added_up_in_float32():
    images, kernel = images_and_kernel(9, 9, 5, dtype=jnp.bfloat16)
    found = values_and_gradients(depthwise_conv, images, kernel, 1)
    exact = values_and_gradients(
        grouped_conv, images.astype(jnp.float32), kernel.astype(jnp.float32), 1
    )
    assert all(array.dtype == jnp.bfloat16 for array in found)
    np.testing.assert_allclose(found[0].astype(jnp.float32), exact[0], rtol=2**-7, atol=2**-7)


def test_vmap_takes_each_batch_by_itself():
    images, kernel = images_and_kernel(6, 6, 3, batch=4)
    convolve = partial(depthwise_conv, stride=2)
    mapped = jax.vmap(lambda images: convolve(images, kernel))(images.reshape(2, 2, 6, 6, 6))
    np.testing.assert_allclose(
        mapped.reshape(4, 3, 3, 6), convolve(images, kernel), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 0), ("cuda", 3), ("tpu", 3)])
def test_only_a_cpu_gets_the_sum(platform, convolutions):
    inputs = images_and_kernel(6, 6, 3)
    program = export.export(
        jax.jit(partial(values_and_gradients, depthwise_conv, stride=1)), platforms=[platform]
    )(*inputs).mlir_module()
    assert program.count("stablehlo.convolution") == convolutions
