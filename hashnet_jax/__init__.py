"""HashNet in JAX: deep learning to hash by continuation.

    import hashnet_jax as hj
    params = hj.load("runs/digits-small_cnn-48bits-seed0")
    codes = hj.encode(params, images)

The top level contains the functions that other JAX code calls; everything else is in subpackages.
All names are imported on first use, so `import hashnet_jax` takes milliseconds.
"""

from typing import TYPE_CHECKING, Any

import lazy_loader as _lazy_loader

if TYPE_CHECKING:
    from hashnet_jax import (
        backbones,
        cli,
        codes,
        configs,
        data,
        distributed,
        hamming,
        index,
        layers,
        losses,
        metrics,
        model,
        report,
        schedules,
        training,
        weights,
    )
    from hashnet_jax.codes import binarize, pack_bits, relax, unpack_bits
    from hashnet_jax.model import HashNetParams, ModelSpec, encode, init, logits
    from hashnet_jax.weights import load, save

__version__ = "0.2.0"

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

_FUNCTIONS = {
    "codes": ["binarize", "pack_bits", "relax", "unpack_bits"],
    "model": ["HashNetParams", "ModelSpec", "encode", "init", "logits"],
    "weights": ["load", "save"],
}
_SUBPACKAGES = set(__all__).difference(*_FUNCTIONS.values())

_import, _, _ = _lazy_loader.attach(__name__, _SUBPACKAGES, _FUNCTIONS)


def __getattr__(name: str) -> Any:
    # Import jax here, before the subpackages. Deep in a chain of imports, Python 3.11 allocates and
    # frees a chunk of its frame stack on every call in a loop of jax, which costs half a second.
    if name in __all__:
        import jax  # noqa: F401
    return _import(name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
