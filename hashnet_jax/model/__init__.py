"""The network, as pure functions of a pytree.

A backbone maps images [B, H, W, 3] to features [B, D], the hash layer maps features to logits
[B, K], and the signs of the logits form the code.
"""

from hashnet_jax.model._encode import encode
from hashnet_jax.model._finite import check_finite
from hashnet_jax.model._hash_layer import hash_layer, with_hash_layer
from hashnet_jax.model._network import (
    extract_features,
    init,
    init_hash_layer,
    logits,
    training_logits,
)
from hashnet_jax.model._params import HashNetParams, spec_from_json, spec_to_json
from hashnet_jax.model._preprocess import normalize, preprocess
from hashnet_jax.model._spec import ModelSpec

__all__ = [
    "HashNetParams",
    "ModelSpec",
    "check_finite",
    "encode",
    "extract_features",
    "hash_layer",
    "init",
    "init_hash_layer",
    "logits",
    "normalize",
    "preprocess",
    "spec_from_json",
    "spec_to_json",
    "training_logits",
    "with_hash_layer",
]
