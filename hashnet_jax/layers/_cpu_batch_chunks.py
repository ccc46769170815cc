"""Processes a batch in chunks whose working set stays in the last-level cache."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

# Size of a chunk's unfolded patches or tiles. All chunks of a batch reuse one buffer.
WORKING_SET_BYTES = 2**24


def chunk_size(batch: int, floats_per_image: int) -> int:
    """Returns the largest chunk size that divides the batch and fits in ``WORKING_SET_BYTES``.

    Args:
      batch: number of images, >= 1.
      floats_per_image: number of float32 elements per unfolded image.

    Returns:
      The number of images per chunk; 1 if not even one image fits.

    Examples:
      >>> chunk_size(60, 10**6), chunk_size(60, 10**7)
      (4, 1)
    """
    fits = max(1, WORKING_SET_BYTES // (4 * floats_per_image))
    return max(size for size in range(1, batch + 1) if batch % size == 0 and size <= fits)


def map_chunks(function: Callable[[Array], Array], chunk: int, images: Array) -> Array:
    """Applies ``function`` to ``chunk`` images at a time, and concatenates the results.

    Examples:
      >>> map_chunks(lambda images: 2 * images, 2, jnp.arange(4)).tolist()
      [0, 2, 4, 6]
    """
    if chunk == len(images):
        return function(images)
    results = lax.map(function, images.reshape(-1, chunk, *images.shape[1:]))
    return results.reshape(len(images), *results.shape[2:])


def sum_over_chunks(function: Callable[..., Array], chunk: int, *arrays: Array) -> Array:
    """Applies ``function`` to ``chunk`` rows of all arrays at a time; sums the float32 results.

    Examples:
      >>> dot = lambda a, b: jnp.sum(a * b)
      >>> float(sum_over_chunks(dot, 2, jnp.arange(4.0), jnp.ones(4)))
      6.0
    """
    batch = len(arrays[0])
    if chunk == batch:
        return function(*arrays)
    chunks = [x.reshape(batch // chunk, chunk, *x.shape[1:]) for x in arrays]
    shape = jax.eval_shape(function, *(x[0] for x in chunks)).shape
    start = match_varying_axes(jnp.zeros(shape), arrays[-1])
    return lax.scan(lambda total, x: (total + function(*x), None), start, chunks)[0]


def match_varying_axes(x: Array, other: Array) -> Array:
    """Marks ``x`` as varying over all mapped axes that ``other`` varies over."""
    missing = tuple(_varying_axes(other) - _varying_axes(x))
    return lax.pcast(x, missing, to="varying") if missing else x


def _varying_axes(x: Array) -> frozenset[str]:
    array_type = jax.typeof(x)
    # The attribute was moved in JAX 0.10.
    return array_type.mat.varying if hasattr(array_type, "mat") else array_type.vma
