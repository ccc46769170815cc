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

MODEL_FILE = "model.npz"
SPEC_ENTRY = "spec"  # the ModelSpec as JSON, stored with the arrays

# Far more than any spec needs, but small enough to read before anything else is checked.
_MAX_SPEC_BYTES = 2**20

_WHAT = "a hashnet_jax model"
_REMEDY = "restore it from a copy, or train the network again"


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
      ...     load(folder).spec == spec
      True
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(
            f"`folder` must be an existing folder, but {folder} does not exist. Create it first."
        )
    _check_no_file(folder)
    entries: dict[str, Any] = {SPEC_ENTRY: np.array(spec_to_json(params.spec))}
    entries |= {name: np.asarray(leaf) for name, leaf in _named_leaves(params.variables)}
    path = folder / MODEL_FILE
    write_whole(path, lambda file: np.savez(file, **entries))
    return path


def read_spec(folder: str | os.PathLike[str]) -> ModelSpec:
    """Reads a saved network's spec, but not its weights; raises the same errors as :func:`load`."""
    return _read_spec(_existing_file(folder))


def load(
    folder: str | os.PathLike[str], *, structure: HashNetParams | None = None
) -> HashNetParams:
    """Loads the network that :func:`save` or a training run wrote to a folder.

    Args:
      folder: the folder of a finished run, or any folder with a `model.npz`.
      structure: a network with the same spec that has shapes and dtypes instead of arrays, such as
        ``jax.eval_shape(lambda: init(key, spec))``; None to trace it, which takes seconds for a
        deep network.

    Returns:
      :class:`HashNetParams`.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      NotADirectoryError: if ``folder`` is a file, such as the `model.npz` itself.
      DamagedFile: a ValueError, if the file is damaged or its arrays do not match its spec.
      ValueError: if ``structure`` has a different spec.

    Examples:
      >>> load("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no model.npz in runs/none. It is written when a run ends. ...
    """
    path = _existing_file(folder)
    spec = _read_spec(path)
    if structure is None:
        with damage_named(path, _WHAT, _REMEDY):  # a spec with absurd sizes cannot even be traced
            expected = jax.eval_shape(lambda: init(jax.random.key(0), spec))
    elif structure.spec != spec:
        raise ValueError(
            f"`structure` must have the same spec as the network in {folder}, {spec}, got "
            f"{structure.spec}."
        )
    else:
        expected = structure
    named = _named_leaves(expected.variables)
    arrays = read_npz(
        path, _WHAT, _REMEDY, check=lambda headers: _check_arrays(spec, headers, dict(named))
    )
    # jnp.asarray would compile a program for each shape.
    leaves = [jax.device_put(arrays[name]) for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def _existing_file(folder: str | os.PathLike[str]) -> Path:
    folder = Path(folder)
    _check_no_file(folder)
    path = folder / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no {MODEL_FILE} in {folder}. It is written when a run ends. Pass the folder of a "
            "finished run, or finish this run with `hashnet train`."
        )
    return path


def _read_spec(path: Path) -> ModelSpec:
    def check(headers: Mapping[str, ArrayHeader]) -> None:
        shape, dtype = headers[SPEC_ENTRY]
        if shape != () or dtype.kind != "U" or dtype.itemsize > _MAX_SPEC_BYTES:
            raise ValueError(f"its entry {SPEC_ENTRY!r} is not a string")

    entries = read_npz(path, _WHAT, _REMEDY, names=(SPEC_ENTRY,), check=check)
    with damage_named(path, _WHAT, _REMEDY):
        return spec_from_json(str(entries[SPEC_ENTRY]))


def _check_no_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        remedy = f"Pass the folder that contains it, {folder.parent}"
        if folder.name != MODEL_FILE:
            remedy = f"Pass a folder that contains a {MODEL_FILE}"
        raise NotADirectoryError(
            f"`folder` must be an existing folder, got the file {folder}. {remedy}."
        )


def _check_arrays(
    spec: ModelSpec, headers: Mapping[str, ArrayHeader], expected: dict[str, Any]
) -> None:
    """Raises a ValueError naming any arrays that do not match the spec."""
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


def _named_leaves(variables: dict[str, Any]) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    return [("/".join(key.key for key in path), leaf) for path, leaf in leaves]
