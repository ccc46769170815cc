"""A switch that turns off the CPU implementations of all layers."""

from contextlib import AbstractContextManager

import jax

# Outside `plain_layers` None, inside it the names of the layers that are not plain.
_EXCEPTIONS = jax.make_user_context(None)


def plain_layers(*, depthwise: bool = True) -> AbstractContextManager[None]:
    """Returns a context in which layers have no separate implementation for CPUs.

    Programs that are traced in this context contain only common operations, for example
    convolutions instead of matrix products of tiles. On a CPU, they compile faster, most of them
    run slower, and they round differently. Use the context to export a network to other formats, or
    to differentiate it in forward mode.

    Args:
      depthwise: whether depthwise convolutions are plain, too. Their CPU implementation compiles as
        fast as the plain one, which is ten times slower.

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
    return _EXCEPTIONS(frozenset() if depthwise else frozenset({"depthwise"}))


def is_plain(layer: str) -> bool:
    """Returns whether a layer must be plain, because the caller is inside :func:`plain_layers`.

    Args:
      layer: name of the layer: "convolution", "depthwise", "pooling" or another one.
    """
    return _EXCEPTIONS.value is not None and layer not in _EXCEPTIONS.value
