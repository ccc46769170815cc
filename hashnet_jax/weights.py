"""A trained network as one file: `model.npz` holds its arrays and its spec.

The file is plain NumPy (no pickle), so that reading it needs neither orbax nor flax.
"""

import dataclasses
import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hashnet_jax.files import write_whole
from hashnet_jax.model import ModelSpec, init

FILE = "model.npz"
SPEC = "spec"  # the entry with the ModelSpec as JSON

# What NumPy and zipfile raise on a file with wrong bytes.
DAMAGE = (
    KeyError,
    TypeError,
    ValueError,
    OSError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
)


def save(run_dir, params):
    """Writes ``params`` to ``run_dir/model.npz``; the file appears whole or not at all.

    Args:
      run_dir: an existing folder.
      params: :class:`HashNetParams`.

    Returns:
      The path of the file.

    Examples:
      >>> import hashnet_jax, tempfile
      >>> spec = hashnet_jax.ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> with tempfile.TemporaryDirectory() as run_dir:
      ...     _ = save(run_dir, hashnet_jax.init(jax.random.key(0), spec))
      ...     load(run_dir).spec == spec
      True
    """
    path = Path(run_dir) / FILE
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(params.variables)}
    spec = np.array(json.dumps(dataclasses.asdict(params.spec)))
    write_whole(path, lambda file: np.savez(file, **{SPEC: spec}, **arrays))
    return path


def load(run_dir):
    """The network of a finished run.

    Args:
      run_dir: the folder of a run of ``experiments/run.py``, or any folder with a `model.npz`.

    Returns:
      :class:`HashNetParams`.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      ValueError: if the file is damaged, or its arrays are not those of its spec.

    Examples:
      >>> load("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no model.npz in runs/none: it is written when a run ends; ...
    """
    path = Path(run_dir) / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no {FILE} in {run_dir}: it is written when a run ends; name the folder of a finished "
            "run, or finish it with `python experiments/run.py --run-dir DIR --resume`."
        )
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        spec = ModelSpec(**json.loads(str(arrays.pop(SPEC))))
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged or not a model of hashnet_jax ({error}).") from error
    expected = jax.eval_shape(lambda: init(jax.random.key(0), spec))
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in _named_leaves(expected.variables)}
    got = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if shapes != got:
        differing = sorted(
            name for name in shapes.keys() | got.keys() if shapes.get(name) != got.get(name)
        )
        raise ValueError(
            f"{path} must hold the arrays of its spec ({spec.backbone}, {spec.bits} bits); "
            f"missing, extra, or of another shape or dtype: {', '.join(differing[:5])} "
            f"({len(differing)} in all)."
        )
    leaves = [jnp.asarray(arrays[name]) for name in shapes]
    return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def _named_leaves(variables):
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    return [("/".join(key.key for key in path), leaf) for path, leaf in leaves]
