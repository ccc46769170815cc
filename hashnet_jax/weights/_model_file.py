"""Saves and loads a network's arrays and spec in a single file, `model.npz`.

The file is plain NumPy (no pickle), so reading it needs neither orbax nor flax.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import ArrayHeader, damage_named, read_npz
from hashnet_jax.model import HashNetParams, ModelSpec, init, spec_from_json, spec_to_json
from hashnet_jax.weights._model_path import (
    DAMAGE,
    MODEL_FILE,
    SPEC_ENTRY,
    check_no_file,
    existing_model,
)

# Far more than any spec needs, but small enough to read before anything else is checked.
_MAX_SPEC_BYTES = 2**20


def save(folder: str | os.PathLike[str], params: HashNetParams) -> Path:
    """Writes ``params`` to ``folder/model.npz`` atomically.

    Args:
      folder: an existing folder; any `model.npz` in it is replaced.
      params: the network, :class:`HashNetParams`.

    Returns:
      The path to the file.

    Raises:
      FileNotFoundError: if there is no such folder.
      NotADirectoryError: if ``folder`` is a file.

    Examples:
      >>> import hashnet_jax, tempfile
      >>> spec = hashnet_jax.ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = save(folder, hashnet_jax.init(jax.random.key(0), spec))
      ...     read_model(folder).spec == spec
      True
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(
            f"`folder` must be an existing folder, but {folder} does not exist. Create it first."
        )
    check_no_file(folder)
    entries: dict[str, Any] = {SPEC_ENTRY: np.array(spec_to_json(params.spec))}
    entries |= {name: np.asarray(leaf) for name, leaf in named_arrays(params).items()}
    path = folder / MODEL_FILE
    write_whole(path, lambda file: np.savez(file, **entries))
    return path


def read_spec(folder: str | os.PathLike[str]) -> ModelSpec:
    """Reads the spec in a `model.npz`, but not the weights; raises the same errors as ``load``."""
    return _read_spec(existing_model(folder))


def read_model(folder: str | os.PathLike[str]) -> HashNetParams:
    """Reads the network that :func:`save` or a training run wrote to a folder.

    Args:
      folder: the folder of a finished run, or any folder with a `model.npz`.

    Returns:
      :class:`HashNetParams`.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      NotADirectoryError: if ``folder`` is a file, such as the `model.npz` itself.
      DamagedFile: a ValueError, if the file is damaged or its arrays do not match its spec.
    """
    path = existing_model(folder)
    spec = _read_spec(path)
    with damage_named(path, *DAMAGE):  # a spec with absurd sizes cannot even be traced
        expected = jax.eval_shape(lambda: init(jax.random.key(0), spec))
    named = named_arrays(expected)
    arrays = read_npz(path, *DAMAGE, check=lambda headers: check_arrays(spec, headers, named))
    # jnp.asarray would compile a program for each shape.
    leaves = [jax.device_put(arrays[name]) for name in named]
    return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def named_arrays(params: HashNetParams) -> dict[str, Any]:
    """Returns the arrays of a network, keyed by their names in `model.npz`, in the pytree's order.

    Examples:
      >>> import hashnet_jax
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> list(named_arrays(hashnet_jax.init(jax.random.key(0), spec)))[-1]
      'params/hash/kernel'
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params.variables)
    return {"/".join(key.key for key in path): leaf for path, leaf in leaves}


def _read_spec(path: Path) -> ModelSpec:
    def check(headers: Mapping[str, ArrayHeader]) -> None:
        shape, dtype = headers[SPEC_ENTRY]
        if shape != () or dtype.kind != "U" or dtype.itemsize > _MAX_SPEC_BYTES:
            raise ValueError(f"its entry {SPEC_ENTRY!r} is not a string")

    entries = read_npz(path, *DAMAGE, names=(SPEC_ENTRY,), check=check)
    with damage_named(path, *DAMAGE):
        return spec_from_json(str(entries[SPEC_ENTRY]))


def check_arrays(
    spec: ModelSpec, headers: Mapping[str, ArrayHeader], expected: dict[str, Any]
) -> None:
    """Raises a ValueError naming any arrays that do not match the spec.

    Args:
      spec: the network's spec.
      headers: (shape, dtype) of each array that was found, keyed by name.
      expected: the arrays that the spec requires, keyed by name.
    """
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in expected.items()}
    found = {name: tuple(header) for name, header in headers.items() if name != SPEC_ENTRY}
    differing = sorted(
        name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name)
    )
    if differing:
        raise ValueError(
            f"its arrays do not match its spec, {spec.backbone} with {spec.bits} bits; missing, "
            f"extra, or of the wrong shape or dtype: {', '.join(differing[:5])} "
            f"({len(differing)} in total)"
        )
