"""Converts train states to checkpoint arrays and back, and hashes the arrays."""

import concurrent.futures
import dataclasses
import hashlib
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hashnet_jax.training._state import TrainState


def arrays_of_state(state: TrainState) -> dict[str, Any]:
    """Converts a state to a dict of arrays, with the PRNG key as raw key data."""
    return {
        "step": state.step,
        "beta": state.beta,
        "variables": state.params.variables,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
    }


def state_of_arrays(template: TrainState, arrays: dict[str, Any]) -> TrainState:
    """Inverts :func:`arrays_of_state`; everything static is taken from ``template``."""
    arrays = jax.tree.map(jnp.array, arrays)
    return dataclasses.replace(
        template,
        step=arrays["step"],
        beta=arrays["beta"],
        params=dataclasses.replace(template.params, variables=arrays["variables"]),
        opt_state=arrays["opt_state"],
        key=jax.random.wrap_key_data(arrays["key"], impl=jax.random.key_impl(template.key)),
    )


def check_arrays(arrays: Any, template: Any, *, step: int, sha256: str | None) -> None:
    """Raises a ValueError unless ``arrays`` match the template, the step and the hash.

    Args:
      arrays: restored arrays, in the format of :func:`arrays_of_state`.
      template: arrays with the expected shapes and dtypes.
      step: step of the checkpoint.
      sha256: hash recorded for the arrays; None to compare only the step, shapes and dtypes.
    """
    found, expected = (
        {
            jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
            for path, leaf in jax.tree.leaves_with_path(tree)
        }
        for tree in (arrays, template)
    )
    if found != expected:
        name = next(name for name in found | expected if found.get(name) != expected.get(name))
        raise ValueError(
            f"{name} must be {expected.get(name, 'absent')}, but it is {found.get(name, 'absent')}"
        )
    if int(arrays["step"]) != step:
        raise ValueError(f"its arrays were saved at step {int(arrays['step'])}")
    if sha256 not in (None, arrays_sha256(arrays)):
        raise ValueError("its arrays do not match their SHA-256")


def arrays_sha256(arrays: Any) -> str:
    """Returns a hash of the paths, dtypes, shapes and bytes in a pytree of NumPy arrays.

    The leaves are hashed in parallel threads, since hashing releases the GIL.

    Examples:
      >>> tree = {"a": np.zeros(2, np.float32), "b": np.int32(1)}
      >>> arrays_sha256(tree) == arrays_sha256(tree | {"b": np.int32(2)})
      False
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = list(pool.map(_leaf_digest, jax.tree.leaves_with_path(arrays)))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _leaf_digest(entry: tuple[Any, Any]) -> bytes:
    path, leaf = entry
    array = np.ascontiguousarray(leaf)
    header = f"{jax.tree_util.keystr(path)} {array.dtype.str} {np.shape(leaf)}"
    digest = hashlib.sha256(header.encode())
    digest.update(array.data)
    return digest.digest()
