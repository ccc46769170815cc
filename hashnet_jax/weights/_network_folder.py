"""Writes and reads the folder in which a trained network is shared.

model.safetensors   the network's arrays, under the same names as in `model.npz`
config.json         the network's spec, the SHA-256 of model.safetensors, and a hash of itself
README.md           the model card, for people; nothing reads it
"""

import hashlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import (
    ArrayHeader,
    check_sha256,
    damage_named,
    parse_json,
    read_text,
)
from hashnet_jax.distributed.seals import is_sealed, sealed, unsealed
from hashnet_jax.model import HashNetParams, ModelSpec, init, spec_from_json, spec_to_json
from hashnet_jax.weights._model_file import check_arrays, named_arrays

NETWORK_FILE = "model.safetensors"
NETWORK_CONFIG = "config.json"

FORMAT = 1

_REMEDY = "delete the file and load the network again, or ask its author for a new copy"
CONFIG_DAMAGE = ("the config of a shared hashnet_jax network", _REMEDY)
NETWORK_DAMAGE = ("the network that its config.json describes", _REMEDY)


def write_network(folder: str | os.PathLike[str], params: HashNetParams) -> str:
    """Writes `model.safetensors` and `config.json`, from which ``load`` restores the network.

    Args:
      folder: an existing folder; files with these names are replaced.
      params: the network, :class:`hashnet_jax.HashNetParams`.

    Returns:
      The SHA-256 of `model.safetensors`, which depends only on the arrays.

    Raises:
      ModuleNotFoundError: if safetensors is not installed.

    Examples:
      >>> import hashnet_jax, tempfile
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = write_network(folder, hashnet_jax.init(jax.random.key(0), spec))
      ...     hashnet_jax.load(folder).spec == spec
      True
    """
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in named_arrays(params).items()}
    content = _safetensors().save(arrays)
    write_whole(Path(folder, NETWORK_FILE), lambda file: file.write(content))
    digest = hashlib.sha256(content).hexdigest()
    config = sealed(
        {
            "library_name": "hashnet_jax",
            "format": FORMAT,
            "spec": json.loads(spec_to_json(params.spec)),
            "files": {NETWORK_FILE: digest},
        }
    )
    text = json.dumps(config, indent=2) + "\n"
    write_whole(Path(folder, NETWORK_CONFIG), lambda file: file.write(text.encode()))
    return digest


def read_network(folder: str | os.PathLike[str]) -> HashNetParams:
    """Reads a network that :func:`write_network` wrote.

    Raises:
      FileNotFoundError: if one of the two files is missing.
      ModuleNotFoundError: if safetensors is not installed.
      DamagedFile: a ValueError, if a file is damaged or does not belong to the other.
    """
    safetensors = _safetensors()
    config = Path(folder, NETWORK_CONFIG)
    spec, digest = parse_config(config, read_text(config, *CONFIG_DAMAGE))
    path = Path(folder, NETWORK_FILE)
    check_sha256(path, digest, *NETWORK_DAMAGE)
    expected = jax.eval_shape(lambda: init(jax.random.key(0), spec))
    named = named_arrays(expected)
    with damage_named(path, *NETWORK_DAMAGE):
        arrays = safetensors.load_file(path)
        check_arrays(
            spec, {name: ArrayHeader(a.shape, a.dtype) for name, a in arrays.items()}, named
        )
    leaves = [jax.device_put(arrays[name]) for name in named]
    return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def parse_config(source: str | os.PathLike[str], text: str | bytes) -> tuple[ModelSpec, str]:
    """Parses a `config.json`.

    Args:
      source: path or URL of the file, for the error message.
      text: its content.

    Returns:
      The network's spec, and the SHA-256 of its `model.safetensors`.

    Raises:
      DamagedFile: a ValueError, if it is damaged, or the config of something else.
    """
    with damage_named(source, *CONFIG_DAMAGE):
        config = _checked(parse_json(text))
        spec = spec_from_json(json.dumps(config["spec"]))
        jax.eval_shape(lambda: init(jax.random.key(0), spec))  # fails if the sizes are absurd
        return spec, str(config["files"][NETWORK_FILE])


def _checked(config: Any) -> dict[str, Any]:
    if not isinstance(config, dict) or config.get("library_name") != "hashnet_jax":
        raise ValueError("it does not name hashnet_jax as its library")
    if config.get("format") != FORMAT:
        raise ValueError(f"its format is {config.get('format')!r} instead of {FORMAT}")
    if not is_sealed(config):
        raise ValueError("it has no hash of its own content")
    return unsealed(config)


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "safetensors is needed for networks that are shared. Run `pip install "
            "'hashnet_jax[hub]'`."
        ) from error
    return safetensors.numpy
