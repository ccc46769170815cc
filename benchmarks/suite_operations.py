"""Compares AlexNet's convolution and pooling operations with `jax.lax` and PyTorch."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.measuring import Row, measure, missing
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.backbones.alexnet import CONV_LAYERS
from hashnet_jax.layers import convolve, max_pool

PEER = "PyTorch, channels_last"
POOL_WINDOW, POOL_STRIDE = 3, 2

# {operation name: function}
Operations = dict[str, Callable[..., Any]]


def run(options: argparse.Namespace) -> Iterator[Row]:
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    side, channels = max(BACKBONES["alexnet"].smallest, options.image_size), 3
    for i, (filters, size, stride, padding, is_pooled) in enumerate(CONV_LAYERS, 1):
        out = (side + 2 * padding - size) // stride + 1
        arrays = (
            random(options.batch_size, side, side, channels),
            random(size, size, channels, filters),
            random(options.batch_size, out, out, filters),
        )
        name = f"conv{i}, {size} x {size}, {channels} to {filters}, {side} px"
        forms = {
            "hashnet_jax": convolution_operations(convolve, stride, padding),
            "jax.lax": convolution_operations(plain_convolution, stride, padding),
        }
        peer = partial(torch_convolution, arrays, stride, padding)
        yield from compare(name, arrays, forms, peer, options)
        side, channels = out, filters
        if is_pooled:
            out = (side - POOL_WINDOW) // POOL_STRIDE + 1
            arrays = tuple(random(options.batch_size, s, s, channels) for s in (side, out))
            name = f"max-pooling {i}, {channels} channels, {side} px"
            forms = {
                "hashnet_jax": pooling_operations(lambda x: max_pool(x, POOL_WINDOW, POOL_STRIDE)),
                "jax.lax": pooling_operations(plain_pool),
            }
            yield from compare(name, arrays, forms, partial(torch_pool, arrays), options)
            side = out


def plain_convolution(images, kernel, strides, padding) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def plain_pool(images: jax.Array) -> jax.Array:
    window, strides = (1, POOL_WINDOW, POOL_WINDOW, 1), (1, POOL_STRIDE, POOL_STRIDE, 1)
    return lax.reduce_window(images, -np.inf, lax.max, window, strides, "VALID")


def convolution_operations(form: Callable, stride: int, padding: int) -> Operations:
    """Returns a convolution and its gradients as functions of (images, kernel, output gradient)."""

    def forward(images, kernel):
        return form(images, kernel, (stride, stride), ((padding, padding),) * 2)

    return {
        "forward": lambda x, w, g: forward(x, w),
        "gradient with respect to the images": lambda x, w, g: jax.vjp(lambda x: forward(x, w), x)[
            1
        ](g),
        "gradient with respect to the kernel": lambda x, w, g: jax.vjp(lambda w: forward(x, w), w)[
            1
        ](g),
    }


def pooling_operations(form: Callable) -> Operations:
    return {"gradient": lambda x, g: jax.vjp(form, x)[1](g)}


def torch_convolution(arrays: Sequence[np.ndarray], stride: int, padding: int) -> Operations:
    """Returns the same operations in PyTorch (channels_last) as zero-argument functions."""
    import torch

    x, g = _torch_images(arrays[0]), _torch_images(arrays[2])
    w = torch.tensor(arrays[1]).permute(3, 2, 0, 1)
    w = w.contiguous(memory_format=torch.channels_last)

    def backward(with_respect_to_images: bool, with_respect_to_kernel: bool) -> Callable:
        sizes = (None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)
        mask = [with_respect_to_images, with_respect_to_kernel, False]
        return lambda: torch.ops.aten.convolution_backward(g, x, w, *sizes, mask)

    return {
        "forward": lambda: torch.conv2d(x, w, None, stride, padding),
        "gradient with respect to the images": backward(True, False),
        "gradient with respect to the kernel": backward(False, True),
    }


def torch_pool(arrays: Sequence[np.ndarray]) -> Operations:
    import torch

    x, g = map(_torch_images, arrays)
    _, indices = torch.nn.functional.max_pool2d(x, POOL_WINDOW, POOL_STRIDE, return_indices=True)
    sizes = ([POOL_WINDOW] * 2, [POOL_STRIDE] * 2, [0, 0], [1, 1], False)
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return {"gradient": lambda: backward(g, x, *sizes, indices)}


def _torch_images(array: np.ndarray) -> Any:
    import torch

    images = torch.tensor(array).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def compare(
    name: str,
    arrays: Sequence[np.ndarray],
    forms: dict[str, Operations],
    torch_form: Callable[[], Operations],
    options: argparse.Namespace,
) -> Iterator[Row]:
    """Times each operation in all JAX implementations, and in PyTorch if it is installed."""
    on_device = [jnp.asarray(array) for array in arrays]
    peers, absent = {}, []
    if options.peers != "none":
        try:
            peers = torch_form()
        except ImportError as error:
            absent = [missing("operations", name, PEER, error)]
    for operation in next(iter(forms.values())):
        case = f"{name}: {operation}, batch {len(arrays[0])}"
        rows = [
            (Row("operations", case, by), partial(jax.jit(operations[operation]), *on_device))
            for by, operations in forms.items()
        ]
        if operation in peers:
            rows.append((Row("operations", case, PEER), peers[operation]))
        yield from measure(rows, options.repeats)
    yield from absent
