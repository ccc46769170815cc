"""Saves and loads a network as a single file, `model.npz`, with its arrays and spec.

The file is plain NumPy (no pickle), so reading it needs neither orbax nor flax.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.model import HashNetParams, ModelSpec, init, spec_from_json, spec_to_json

MODEL_FILE = "model.npz"
SPEC_ENTRY = "spec"  # the ModelSpec as JSON, beside the arrays

# The exceptions that NumPy, zipfile and ModelSpec raise for a damaged file.
DAMAGE_ERRORS = (
    KeyError,
    TypeError,
    ValueError,
    OSError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
)


def save(folder: str | os.PathLike[str], params: HashNetParams) -> Path:
    """Writes ``params`` to ``folder/model.npz`` atomically.

    Args:
      folder: an existing folder; any `model.npz` in it is replaced.
      params: :class:`HashNetParams`.

    Returns:
      The path of the file.

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
            f"`folder` {folder} does not exist: create it first; {MODEL_FILE} is written into it."
        )
    _check_no_file(folder)
    entries: dict[str, Any] = {SPEC_ENTRY: np.array(spec_to_json(params.spec))}
    entries |= {name: np.asarray(leaf) for name, leaf in _named_leaves(params.variables)}
    path = folder / MODEL_FILE
    write_whole(path, lambda file: np.savez(file, **entries))
    return path


def load(folder: str | os.PathLike[str]) -> HashNetParams:
    """Loads the network that :func:`save` or a training run wrote to a folder.

    Args:
      folder: the folder of a finished run, or any folder with a `model.npz`.

    Returns:
      :class:`HashNetParams`.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      NotADirectoryError: if ``folder`` is a file, such as the `model.npz` itself.
      ValueError: if the file is damaged, or its arrays do not match its spec.

    Examples:
      >>> load("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no model.npz in runs/none: it is written when a run ends; ...
    """
    folder = Path(folder)
    _check_no_file(folder)
    path = folder / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no {MODEL_FILE} in {folder}: it is written when a run ends; pass the folder of a "
            "finished run, or finish this run with `resume=True`."
        )
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        spec = spec_from_json(str(arrays.pop(SPEC_ENTRY)))
    except DAMAGE_ERRORS as error:
        raise ValueError(f"{path} is damaged or not a model of hashnet_jax ({error}).") from error
    expected = jax.eval_shape(lambda: init(jax.random.key(0), spec))
    named = _named_leaves(expected.variables)
    _check_arrays(path, spec, arrays, dict(named))
    leaves = [jnp.asarray(arrays[name]) for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def _check_no_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        remedy = f"pass the folder that holds it, {folder.parent}"
        if folder.name != MODEL_FILE:
            remedy = f"pass a folder that holds a {MODEL_FILE}"
        raise NotADirectoryError(
            f"`folder` must be an existing folder, got the file {folder}: {remedy}."
        )


def _check_arrays(
    path: Path, spec: ModelSpec, arrays: dict[str, np.ndarray], expected: dict[str, Any]
) -> None:
    """Raises a ValueError naming any arrays that do not match the spec."""
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in expected.items()}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    differing = sorted(
        name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name)
    )
    if differing:
        raise ValueError(
            f"the arrays in {path} do not match its spec ({spec.backbone}, {spec.bits} bits); "
            f"missing, extra, or of the wrong shape or dtype: {', '.join(differing[:5])} "
            f"({len(differing)} in total)."
        )


def _named_leaves(variables: dict[str, Any]) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    return [("/".join(key.key for key in path), leaf) for path, leaf in leaves]
