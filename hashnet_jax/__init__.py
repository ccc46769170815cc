"""HashNet in JAX: deep learning to hash by continuation.

    import hashnet_jax
    params = hashnet_jax.load("runs/digits")
    codes = hashnet_jax.encode(params, images)

The training side (optax, orbax, data sets) is in modules of its own and is not imported here.
"""

from hashnet_jax.continuation import binarize, relax
from hashnet_jax.encode import encode
from hashnet_jax.hamming import pack_bits, unpack_bits
from hashnet_jax.model import HashNetParams, ModelSpec, init, logits
from hashnet_jax.weights import load, save

__version__ = "0.1.0"

__all__ = [
    "HashNetParams",
    "ModelSpec",
    "binarize",
    "encode",
    "init",
    "load",
    "logits",
    "pack_bits",
    "relax",
    "save",
    "unpack_bits",
]
