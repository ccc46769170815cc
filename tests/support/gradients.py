"""Helpers for testing layers: random inputs, and functions that compare values and gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def with_gradients(function: Callable[..., Array], *inputs: Array) -> tuple[Array, ...]:
    outputs, gradients = jax.vjp(function, *inputs)
    key = jax.random.key(3)
    return outputs, *gradients(jax.random.normal(key, outputs.shape).astype(outputs.dtype))


def assert_close(got: Sequence[Array], expected: Sequence[Array], tolerance: float) -> None:
    for a, b in zip(got, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-3))


def random(seed: int, *shape: int, dtype: Any = jnp.float32) -> Array:
    return jax.random.normal(jax.random.key(seed), shape).astype(dtype)
