"""Compiles the program that computes the logits of the queries."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.stages import Compiled
from jaxtyping import Array, Float32, UInt8

from hashnet_jax.layers import plain_layers
from hashnet_jax.model import HashNetParams, check_finite, logits, preprocess, spec_from_json
from hashnet_jax.weights import ModelArrays

# The setting of JAX below which a program is not saved in its cache.
_MIN_SECONDS = "jax_persistent_cache_min_compile_time_secs"


def compile_program(run_dir: Path, model: ModelArrays, batch_size: int) -> Compiled:
    """Compiles a network for one batch size.

    The layers are plain: these compile in less time than is lost by running a few batches slowly.

    Args:
      run_dir: run folder that contains `model.npz`, for the error message.
      model: the content of that file, whose arrays match its spec.
      batch_size: number of pictures per batch.

    Returns:
      The program ``(arrays, images) -> logits``, where ``arrays`` are the network's arrays by name
      and ``images`` are uint8 ``[B, S, S, 3]`` with S = ``spec.resize``.

    Raises:
      ValueError: if the network contains NaN or infinite values.
    """
    spec = spec_from_json(model.spec)
    check_finite(HashNetParams(_nested(model.arrays), spec), source=f"the network in {run_dir}")

    def program(
        arrays: Mapping[str, Array], images: UInt8[Array, "B S S 3"]
    ) -> Float32[Array, "B K"]:
        params = HashNetParams(_nested(arrays), spec)
        return logits(params, preprocess(images, spec))

    images = jax.ShapeDtypeStruct((batch_size, spec.resize, spec.resize, 3), np.uint8)
    with _not_cached(), plain_layers():
        return jax.jit(program).lower(model.arrays, images).compile()


def _nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the variables of a network from its arrays by name; see `named_arrays`."""
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, array in arrays.items():
        *parents, last = name.split("/")
        place = variables
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = array
    return variables


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
