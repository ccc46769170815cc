"""Compiles the program that computes the logits of the queries."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
from jax.stages import Compiled
from jaxtyping import Array, Float32, UInt8

from hashnet_jax.model import HashNetParams, check_finite, logits, preprocess
from hashnet_jax.weights import load, named_arrays

# The setting of JAX below which a program is not saved in its cache.
_MIN_SECONDS = "jax_persistent_cache_min_compile_time_secs"


def compile_program(run_dir: Path, batch_size: int) -> Compiled:
    """Compiles a run's network for one batch size.

    Args:
      run_dir: run folder that contains `model.npz`.
      batch_size: number of pictures per batch.

    Returns:
      The program ``(arrays, images) -> logits``, where ``arrays`` are the network's arrays by name
      and ``images`` are uint8 ``[B, S, S, 3]`` with S = ``spec.resize``.

    Raises:
      ValueError: if `model.npz` is damaged, or the network contains NaN or infinite values.
    """
    params = load(run_dir)
    check_finite(params, source=f"the network in {run_dir}")
    named, structure, side = named_arrays(params), jax.tree.structure(params), params.spec.resize

    def program(
        arrays: Mapping[str, Array], images: UInt8[Array, "B S S 3"]
    ) -> Float32[Array, "B K"]:
        own: HashNetParams = jax.tree.unflatten(structure, [arrays[name] for name in named])
        return logits(own, preprocess(images, own.spec))

    images = jax.ShapeDtypeStruct((batch_size, side, side, 3), np.uint8)
    with _not_cached():
        return jax.jit(program).lower(named, images).compile()


@contextlib.contextmanager
def _not_cached() -> Iterator[None]:
    """Keeps JAX from caching a program.

    A program that JAX has loaded from its cache cannot be serialized on a CPU: it would lack its
    functions.
    """
    before = getattr(jax.config, _MIN_SECONDS)
    jax.config.update(_MIN_SECONDS, float("inf"))
    try:
        yield
    finally:
        jax.config.update(_MIN_SECONDS, before)
