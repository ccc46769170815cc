"""Compiles the program that computes the logits of the queries."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.stages import Compiled, Lowered
from jaxtyping import Array, Float32, UInt8

from hashnet_jax.layers import plain_layers
from hashnet_jax.model import HashNetParams, check_finite, logits, preprocess, spec_from_json
from hashnet_jax.weights import ModelArrays, load

# The setting of JAX below which a program is not saved in its cache.
_MIN_SECONDS = "jax_persistent_cache_min_compile_time_secs"


def compile_program(
    run_dir: Path, model: ModelArrays, batch_size: int, *, is_kept: bool
) -> Compiled:
    """Compiles a network for one batch size.

    Args:
      run_dir: run folder that contains `model.npz`.
      model: the content of that file.
      batch_size: number of pictures per batch.
      is_kept: whether the program will be serialized.

    Returns:
      The program ``(arrays, images) -> logits``, where ``arrays`` are the network's arrays by name
      and ``images`` are uint8 ``[B, S, S, 3]`` with S = ``spec.resize``.

    Raises:
      DamagedFile: a ValueError, if the arrays do not match the spec.
      ValueError: if the network contains NaN or infinite values.
    """
    try:
        lowered = _lowered(run_dir, model, batch_size)
    except Exception:
        load(run_dir)  # Raises an error that names the file if its content is invalid.
        raise
    with _not_cached() if is_kept else contextlib.nullcontext():
        return lowered.compile()


def _lowered(run_dir: Path, model: ModelArrays, batch_size: int) -> Lowered:
    spec = spec_from_json(model.spec)
    check_finite(HashNetParams(_nested(model.arrays), spec), source=f"the network in {run_dir}")

    def program(
        arrays: Mapping[str, Array], images: UInt8[Array, "B S S 3"]
    ) -> Float32[Array, "B K"]:
        params = HashNetParams(_nested(arrays), spec)
        return logits(params, preprocess(images, spec))

    images = jax.ShapeDtypeStruct((batch_size, spec.resize, spec.resize, 3), np.uint8)
    # Plain layers compile in a fraction of the time, and are hardly slower at inference except
    # for depthwise convolutions.
    with plain_layers(depthwise=False):
        return jax.jit(program).lower(model.arrays, images)


def _nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the variables of a network, from its arrays by name."""
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
