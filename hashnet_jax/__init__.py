"""HashNet in JAX: deep learning to hash by continuation.

    import hashnet_jax as hj
    params = hj.load("runs/digits-small_cnn-48bits-seed0")
    codes = hj.encode(params, images)

The top level contains the functions that other JAX code calls; everything else is in subpackages.
Subpackages that need libraries other than JAX and Flax are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

# Import jax here, before the subpackages. Deep in a chain of imports, Python 3.11 allocates and
# frees a chunk of its frame stack on every call in a loop of jax, which costs half a second.
import jax as _jax  # noqa: F401

from hashnet_jax import (
    backbones,
    codes,
    distributed,
    hamming,
    layers,
    losses,
    metrics,
    model,
    schedules,
    weights,
)
from hashnet_jax.codes import binarize, pack_bits, relax, unpack_bits
from hashnet_jax.model import HashNetParams, ModelSpec, encode, init, logits
from hashnet_jax.weights import load, save

if TYPE_CHECKING:
    from hashnet_jax import cli, configs, data, index, report, training

__version__ = "0.2.0"

_IMPORTED_ON_FIRST_USE = ("cli", "configs", "data", "index", "report", "training")

__all__ = [
    "HashNetParams",
    "ModelSpec",
    "backbones",
    "binarize",
    "cli",
    "codes",
    "configs",
    "data",
    "distributed",
    "encode",
    "hamming",
    "index",
    "init",
    "layers",
    "load",
    "logits",
    "losses",
    "metrics",
    "model",
    "pack_bits",
    "relax",
    "report",
    "save",
    "schedules",
    "training",
    "unpack_bits",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in _IMPORTED_ON_FIRST_USE:
        return importlib.import_module(f"hashnet_jax.{name}")
    raise AttributeError(f"module 'hashnet_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
