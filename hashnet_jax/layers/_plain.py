"""A switch that turns off the CPU implementations of all layers."""

from contextlib import AbstractContextManager

import jax

_IS_PLAIN = jax.make_user_context(False)


def plain_layers() -> AbstractContextManager[None]:
    """Returns a context in which layers have no separate implementation for CPUs.

    Programs that are traced in this context contain only common operations, for example
    convolutions instead of matrix products of tiles. On a CPU, they compile faster and run slower,
    and round differently. Use it to export a network to other formats, or to differentiate it in
    forward mode.

    Returns:
      A context manager. It is part of the key of JAX's caches, so a function under ``jax.jit`` is
      traced again inside the context.

    Examples:
      >>> import jax.numpy as jnp
      >>> from hashnet_jax.layers import max_pool
      >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> with plain_layers():
      ...     _, tangent = jax.jvp(lambda x: max_pool(x, 2, 2), (image,), (image,))
      >>> tangent[0, :, :, 0]
      Array([[ 5.,  7.],
             [13., 15.]], dtype=float32)
    """
    return _IS_PLAIN(True)


def is_plain() -> bool:
    """Returns whether the caller is inside :func:`plain_layers`."""
    return _IS_PLAIN.value
