"""Parts of a batch, so that what is unfolded of one stays in the processor's last cache."""

import jax
import jax.numpy as jnp
from jax import lax

# Of what is unfolded at a time, bytes: one buffer serves all parts of a batch.
UNFOLDED = 2**24


def part_size(batch, of_one):
    """How many images are unfolded at a time: a divisor of the batch, within ``UNFOLDED``.

    Args:
      batch: number of images, >= 1.
      of_one: numbers that one image is unfolded to, four bytes each.

    Examples:
      >>> part_size(60, 10**6), part_size(60, 10**7)
      (4, 1)
    """
    fits = max(1, UNFOLDED // (4 * of_one))
    return max(size for size in range(1, batch + 1) if batch % size == 0 and size <= fits)


def map_parts(function, part, images):
    """``function`` of each ``part`` of the rows ``[B, ...]`` of images, put together again.

    Examples:
      >>> map_parts(lambda images: 2 * images, 2, jnp.arange(4)).tolist()
      [0, 2, 4, 6]
    """
    if part == len(images):
        return function(images)
    rows = lax.map(function, images.reshape(-1, part, *images.shape[1:]))
    return rows.reshape(len(images), *rows.shape[2:])


def sum_parts(function, part, *rows):
    """The sum of ``function``, float32, over each ``part`` of all ``rows``, ``[B, ...]``.

    Examples:
      >>> float(sum_parts(lambda a, b: jnp.sum(a * b), 2, jnp.arange(4.0), jnp.ones(4)))
      6.0
    """
    batch = len(rows[0])
    if part == batch:
        return function(*rows)
    parts = [x.reshape(batch // part, part, *x.shape[1:]) for x in rows]
    shape = jax.eval_shape(function, *(x[0] for x in parts)).shape
    start = vary_alike(jnp.zeros(shape), rows[-1])
    return lax.scan(lambda total, x: (total + function(*x), None), start, parts)[0]


def vary_alike(x, other):
    """``x`` as a value that differs along all mapped axes that ``other`` differs along."""
    missing = tuple(_varying(other) - _varying(x))
    return lax.pcast(x, missing, to="varying") if missing else x


def _varying(x):
    kind = jax.typeof(x)
    return kind.mat.varying if hasattr(kind, "mat") else kind.vma  # jax 0.10 moved it
