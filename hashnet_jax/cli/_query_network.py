"""Loads the network for a search, and keeps its compiled program for later searches.

Importing Flax and tracing a deep network take longer than everything else in a search. JAX's
compilation cache avoids neither, because a program must be traced before its compiled form can be
looked up. Here, the key of a compiled program is a hash of everything that determines it.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.experimental import serialize_executable
from jax.stages import Compiled
from jaxtyping import Float32, UInt8

from hashnet_jax.cli import _compilation_cache
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.weights import ModelArrays

MAX_PROGRAMS = 64

# The setting of JAX that turns its cache off.
_ENABLED = "jax_enable_compilation_cache"

# The subpackages, and the settings of JAX, that determine the program.
_TRACED_PACKAGES = ("backbones", "layers", "model")
_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision")
_DIGEST_BYTES = 32

Images = UInt8[Array | np.ndarray, "B S S 3"]
# Computes logits [B, K] from a network's arrays by name, and decoded pictures [B, S, S, 3].
Program = Callable[[Mapping[str, Array], Images], Array]


class QueryNetwork(NamedTuple):
    """A network, compiled for one batch size.

    Attributes:
      arrays: the network's arrays, keyed by name.
      program: computes logits from the arrays and decoded pictures.
      batch_size: B, the number of pictures per batch.
      side: S, the side length of the decoded pictures, in pixels.
    """

    arrays: Mapping[str, Array]
    program: Program
    batch_size: int
    side: int

    def __call__(self, images: Images) -> Float32[np.ndarray, "B K"]:
        """Computes the logits of decoded pictures; their signs are the codes."""
        return np.asarray(self.program(self.arrays, images))


def load_query_network(run_dir: Path, model: ModelArrays, batch_size: int) -> QueryNetwork:
    """Compiles a run's network, unless an earlier search kept the compiled program.

    Compiled programs are kept in JAX's compilation cache folder, and only if that cache is enabled.

    Args:
      run_dir: run folder that contains `model.npz`.
      model: the content of that file.
      batch_size: number of pictures per batch.

    Raises:
      ValueError: if `model.npz` is damaged, or the network contains NaN or infinite values.
    """
    folder = _folder()
    path = folder / _key(model, batch_size) if folder else None
    program = _read(path, model) if path and model.is_finite else None
    if program is None:
        # Imports Flax.
        from hashnet_jax.cli._query_program import compile_program

        program = compile_program(run_dir, model, batch_size, is_kept=path is not None)
        network = _network(program, model, batch_size)
        if path:
            _keep(path, program, network)
        return network
    return _network(program, model, batch_size)


def _network(program: Program, model: ModelArrays, batch_size: int) -> QueryNetwork:
    device = jax.local_devices()[0]
    arrays = {name: jax.device_put(array, device) for name, array in model.arrays.items()}
    return QueryNetwork(arrays, program, batch_size, json.loads(model.spec)["resize"])


def _folder() -> Path | None:
    """Returns the cache folder for compiled programs, or None if they cannot be kept."""
    cache = getattr(jax.config, _compilation_cache.FOLDER)
    if cache is None or "://" in cache or not getattr(jax.config, _ENABLED):
        return None
    folder = Path(cache, "queries")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def _key(model: ModelArrays, batch_size: int) -> str:
    """Returns a file name derived from everything that the compiled program depends on."""
    hashed = hashlib.sha256()
    root = Path(__file__).parents[1]
    sources = [path for package in _TRACED_PACKAGES for path in (root / package).glob("*.py")]
    for path in sorted([*sources, Path(__file__).with_name("_query_program.py")]):
        hashed.update(path.read_bytes())
    settings = [getattr(jax.config, name) for name in _SETTINGS]
    versions = [version(name) for name in ("jax", "jaxlib", "flax")]
    versions.append(platform.python_version())
    device = jax.local_devices()[0]
    where = (device.platform, device.device_kind, jax.device_count(), platform.machine())
    where += (device.client.platform_version, _compilation_cache.processor())
    where += tuple(os.environ.get(name) for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS"))
    shapes = [(name, array.shape, array.dtype) for name, array in model.arrays.items()]
    network = (model.spec, shapes, batch_size)
    hashed.update(repr((network, settings, versions, where)).encode())
    return hashed.hexdigest()


def _read(path: Path, model: ModelArrays) -> Program | None:
    """Returns the program in a file, or None if it is missing, damaged or cannot be loaded.

    Loading runs code from the file, so the files of other users are not loaded.
    """
    try:
        if path.stat().st_uid != os.getuid():
            return None
        data = path.read_bytes()
    except OSError:
        return None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    try:
        return _loaded(content, model.arrays)
    except Exception:  # A backend and a pickle can raise anything; the program is compiled again.
        return None


def _loaded(content: bytes, arrays: Mapping[str, Any]) -> Program:
    in_tree = jax.tree.structure(((dict.fromkeys(arrays, 0), 0), {}))
    return serialize_executable.deserialize_and_load(
        content, in_tree, jax.tree.structure(0), execution_devices=jax.local_devices()[:1]
    )


def _keep(path: Path, program: Compiled, network: QueryNetwork) -> None:
    """Saves a program that still works when loaded, and deletes all but the newest programs.

    An OSError is ignored, because a search does not depend on the cache.
    """
    try:
        content, _, _ = serialize_executable.serialize(program)
        works = _works_when_loaded(content, network)
    except Exception:  # Some backends do not support this, and say so in different ways.
        return
    if not works:
        return
    try:
        write_whole(path, lambda file: file.write(hashlib.sha256(content).digest() + content))
        kept = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in kept[MAX_PROGRAMS:]:
            file.unlink(missing_ok=True)
    except OSError:
        return


def _works_when_loaded(content: bytes, network: QueryNetwork) -> bool:
    """Returns whether a serialized program computes the same logits as the program of a network."""
    images = np.zeros((network.batch_size, network.side, network.side, 3), np.uint8)
    loaded = network._replace(program=_loaded(content, network.arrays))
    return np.array_equal(loaded(images), network(images))
