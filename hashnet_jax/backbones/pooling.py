"""Max-pooling whose gradient is fast on the CPU too.

XLA lowers the gradient of `reduce_window` to a search of every window and a scatter, which on the
CPU costs several times the convolution before it. There, both directions are written as operations
on the shifted, strided slices that the places of the window cut out of the input. On every other
platform the program is the plain one of `jax.lax`.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


def max_pool(inputs, window, stride, padding=0):
    """Max-pooling of ``[B, H, W, C]`` with a square window and symmetric padding, as torch pools.

    The gradient goes to the first maximum of a window, in the order of rows: ReLU's zeros tie all
    the time. It can be taken in reverse mode, not in forward mode.

    Args:
      inputs: float ``[B, H, W, C]``, H and W + 2 ``padding`` at least ``window``.
      window: side of the window, pixels.
      stride: distance of windows, pixels.
      padding: of -inf on each side, pixels, less than ``window``.

    Returns:
      ``[B, (H + 2 padding - window) // stride + 1, the same of W, C]``.

    Examples:
      >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2, 2)[0, :, :, 0]
      Array([[ 5.,  7.],
             [13., 15.]], dtype=float32)
    """
    return _max_pool(inputs, (window, stride, padding))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(inputs, sizes):
    return lax.platform_dependent(
        inputs, cpu=partial(_by_slices, sizes=sizes), default=partial(_by_window, sizes=sizes)
    )


def _forward(inputs, sizes):
    return _max_pool(inputs, sizes), inputs


def _backward(sizes, inputs, gradient):
    return (
        lax.platform_dependent(
            inputs,
            gradient,
            cpu=partial(_gradient_by_slices, sizes=sizes),
            default=partial(_gradient_by_window, sizes=sizes),
        ),
    )


_max_pool.defvjp(_forward, _backward)


def _by_window(inputs, *, sizes):
    window, stride, padding = sizes
    pad = (padding, padding)
    return nn.max_pool(inputs, (window, window), (stride, stride), (pad, pad))


def _gradient_by_window(inputs, gradient, *, sizes):
    (of_inputs,) = jax.vjp(partial(_by_window, sizes=sizes), inputs)[1](gradient)
    return of_inputs


def _by_slices(inputs, *, sizes):
    slices = _slices(inputs, sizes)
    largest = next(slices)
    for candidate in slices:
        largest = jnp.maximum(largest, candidate)
    return largest


def _gradient_by_slices(inputs, gradient, *, sizes):
    window, stride, padding = sizes
    slices = _slices(inputs, sizes)
    largest = next(slices)
    place = jnp.zeros(largest.shape, jnp.uint8)
    for i, candidate in enumerate(slices, 1):
        place = jnp.where(candidate > largest, jnp.uint8(i), place)
        largest = jnp.maximum(largest, candidate)
    # Each place of the window sends its share back to where its slice came from.
    total = jnp.zeros_like(inputs)
    zero = jnp.zeros((), gradient.dtype)
    for i in range(window * window):
        share = jnp.where(place == i, gradient, zero)
        rows, columns = (
            _back(at, stride, padding, inputs.shape[axis], share.shape[axis])
            for axis, at in ((1, i // window), (2, i % window))
        )
        total += lax.pad(share, zero, ((0, 0, 0), rows, columns, (0, 0, 0)))
    return total


def _back(at, stride, padding, length, outputs):
    """The padding (before, after, between) that takes a slice back to the axis it was cut from."""
    before = at - padding
    return before, length - before - (stride * (outputs - 1) + 1), stride - 1


def _slices(inputs, sizes):
    """For each place of the window, row by row, what the windows see there."""
    window, stride, padding = sizes
    pad = (padding, padding, 0)
    if padding:
        lowest = jnp.array(-jnp.inf, inputs.dtype)
        inputs = lax.pad(inputs, lowest, ((0, 0, 0), pad, pad, (0, 0, 0)))
    rows, columns = ((side - window) // stride * stride + 1 for side in inputs.shape[1:3])
    for i in range(window):
        for j in range(window):
            yield inputs[:, i : i + rows : stride, j : j + columns : stride]
