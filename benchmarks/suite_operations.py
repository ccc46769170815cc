"""AlexNet's convolutions and pooling one by one: this package's form, `jax.lax`'s and PyTorch's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from measuring import Row, measure, missing

from hashnet_jax.backbones.alexnet import LAYERS
from hashnet_jax.backbones.convolution import convolve
from hashnet_jax.backbones.pooling import max_pool

SMALLEST = 63  # pixels that AlexNet takes


def plain_convolution(images, kernel, strides, padding):
    return lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def plain_pool(images):
    return lax.reduce_window(images, -np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")


def of_convolution(form, stride, padding):
    """The three operations of a layer, as functions of (images, kernel, gradient)."""

    def forward(images, kernel):
        return form(images, kernel, (stride, stride), ((padding, padding),) * 2)

    return {
        "forward": lambda x, w, g: forward(x, w),
        "gradient of the images": lambda x, w, g: jax.vjp(lambda x: forward(x, w), x)[1](g),
        "gradient of the kernel": lambda x, w, g: jax.vjp(lambda w: forward(x, w), w)[1](g),
    }


def torch_convolution(arrays, stride, padding):
    """The same three in PyTorch, channels_last, as functions of nothing."""
    import torch

    x, g = (
        torch.tensor(array).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        for array in (arrays[0], arrays[2])
    )
    w = torch.tensor(arrays[1]).permute(3, 2, 0, 1)
    w = w.contiguous(memory_format=torch.channels_last)

    def backward(*wanted):
        sizes = (None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)
        return lambda: torch.ops.aten.convolution_backward(g, x, w, *sizes, [*wanted, False])

    return {
        "forward": lambda: torch.conv2d(x, w, None, stride, padding),
        "gradient of the images": backward(True, False),
        "gradient of the kernel": backward(False, True),
    }


def torch_pool(arrays):
    import torch

    x, g = (
        torch.tensor(array).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        for array in arrays
    )
    _, indices = torch.nn.functional.max_pool2d(x, 3, 2, return_indices=True)
    sizes = ([3, 3], [2, 2], [0, 0], [1, 1], False)
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return {"gradient": lambda: backward(g, x, *sizes, indices)}


def compare(name, arrays, forms, torch_form, options):
    """Rows of each operation: ``forms`` of both, and PyTorch's where it is installed."""
    on_device = [jnp.asarray(array) for array in arrays]
    peers, absent = {}, []
    if options.peers != "none":
        try:
            peers = torch_form()
        except ImportError as error:
            absent = [missing("operations", name, "PyTorch, channels_last", error)]
    for operation in next(iter(forms.values())):
        case = f"{name}: {operation}, batch {len(arrays[0])}"
        rows = [
            (Row("operations", case, by), partial(jax.jit(of[operation]), *on_device))
            for by, of in forms.items()
        ]
        if operation in peers:
            rows.append((Row("operations", case, "PyTorch, channels_last"), peers[operation]))
        yield from measure(rows, options.repeats)
    yield from absent


def run(options):
    rng = np.random.default_rng(0)

    def random(*shape):
        return rng.standard_normal(shape, np.float32)

    batch, side, channels = options.batch_size, max(SMALLEST, options.image_size), 3
    for i, (filters, size, stride, padding, pooled) in enumerate(LAYERS, 1):
        out = (side + 2 * padding - size) // stride + 1
        arrays = (
            random(batch, side, side, channels),
            random(size, size, channels, filters),
            random(batch, out, out, filters),
        )
        forms = {
            by: of_convolution(form, stride, padding)
            for by, form in (("hashnet_jax", convolve), ("jax.lax", plain_convolution))
        }
        shape = f"conv{i}, {size} x {size}, {channels} to {filters}, {side} px"
        peer = partial(torch_convolution, arrays, stride, padding)
        yield from compare(shape, arrays, forms, peer, options)
        side, channels = out, filters
        if pooled:
            out = (side - 3) // 2 + 1
            arrays = random(batch, side, side, channels), random(batch, out, out, channels)
            forms = {
                by: {"gradient": lambda x, g, form=form: jax.vjp(form, x)[1](g)}
                for by, form in (
                    ("hashnet_jax", lambda x: max_pool(x, 3, 2)),
                    ("jax.lax", plain_pool),
                )
            }
            shape = f"max-pooling {i}, {channels} channels, {side} px"
            yield from compare(shape, arrays, forms, partial(torch_pool, arrays), options)
            side = out
