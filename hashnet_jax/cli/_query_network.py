"""Loads the network for a search, and saves its traced program for later searches.

Tracing a deep network takes longer than the rest of a search. JAX's compilation cache cannot avoid
this, because a program must be traced before its compiled form can be looked up in the cache.
"""

import hashlib
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import Array, export
from jaxtyping import UInt8

from hashnet_jax.cli import _compilation_cache
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.index import query_logits
from hashnet_jax.model import HashNetParams, ModelSpec, check_finite, spec_to_json
from hashnet_jax.weights import load, read_spec

MAX_PROGRAMS = 64

# The setting of JAX that turns its cache off.
_ENABLED = "jax_enable_compilation_cache"

# The subpackages, and the settings of JAX, that determine the traced program.
_TRACED_PACKAGES = ("backbones", "layers", "model", "index")
_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision")
_DIGEST_BYTES = 32


class QueryNetwork(NamedTuple):
    """A network and the program that computes its logits for one batch size.

    Attributes:
      params: the network.
      program: jitted function ``(params, images) -> logits`` that computes what
        :func:`hashnet_jax.index.query_logits` does.
      batch_size: B, the number of images per batch.
    """

    params: HashNetParams
    program: Callable[[HashNetParams, UInt8[Array | np.ndarray, "B H W 3"]], Array]
    batch_size: int


def load_query_network(run_dir: Path, batch_size: int) -> QueryNetwork:
    """Loads a run's network, and traces it unless an earlier search saved the traced program.

    Traced programs are saved in JAX's compilation cache folder, and only if that cache is enabled.

    Args:
      run_dir: run folder that contains `model.npz`.
      batch_size: number of images per batch.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      ValueError: if `model.npz` is damaged, or the network contains NaN or infinite values.
    """
    folder = _folder()
    path = folder / _key(read_spec(run_dir), batch_size) if folder else None
    traced = _read(path) if path else None
    if traced is None:
        params = load(run_dir)
        traced = _trace(params, batch_size)
        if path:
            _keep(path, traced)
    else:
        (structure, _), _ = jax.tree.unflatten(traced.in_tree, traced.in_avals)
        params = load(run_dir, structure=structure)
    check_finite(params, source=f"the network in {run_dir}")
    return QueryNetwork(params, jax.jit(traced.call), batch_size)


def _trace(params: HashNetParams, batch_size: int) -> export.Exported:
    side = params.spec.resize
    images = jax.ShapeDtypeStruct((batch_size, side, side, 3), np.uint8)
    return export.export(query_logits)(params, images)


def _folder() -> Path | None:
    """Returns the cache folder for traced programs, or None if they cannot be cached."""
    cache = getattr(jax.config, _compilation_cache.FOLDER)
    if cache is None or "://" in cache or not getattr(jax.config, _ENABLED):
        return None
    folder = Path(cache, "traced")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def _key(spec: ModelSpec, batch_size: int) -> str:
    """Returns a file name derived from everything that the traced program depends on."""
    hashed = hashlib.sha256()
    root = Path(__file__).parents[1]
    for package in _TRACED_PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            hashed.update(path.read_bytes())
    settings = [getattr(jax.config, name) for name in _SETTINGS]
    versions = [version(name) for name in ("jax", "jaxlib", "flax")]
    where = (jax.default_backend(), platform.machine())
    hashed.update(repr((spec_to_json(spec), batch_size, settings, versions, where)).encode())
    return hashed.hexdigest()


def _read(path: Path) -> export.Exported | None:
    """Returns the traced program in a file, or None if the file is unreadable or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, program = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(program).digest() != digest:
        return None
    return export.deserialize(bytearray(program))


def _keep(path: Path, traced: export.Exported) -> None:
    """Saves a program and deletes all but the newest ``MAX_PROGRAMS``; ignores any OSError."""
    program = bytes(traced.serialize())
    try:
        write_whole(path, lambda file: file.write(hashlib.sha256(program).digest() + program))
        kept = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in kept[MAX_PROGRAMS:]:
            file.unlink(missing_ok=True)
    except OSError:
        return
