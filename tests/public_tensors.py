"""Stand-ins for public weight files, made of the names alone."""

import jax
import numpy as np

import hashnet_jax
from hashnet_jax import ModelSpec
from hashnet_jax.weight_names import NAMES


def zeros_and_tensors_of_ones(backbone="resnet18", side=32):
    """``(params, tensors)``: params of zeros, and tensors of ones under a public file's names."""
    spec = ModelSpec(backbone, image_size=side, resize=side)
    shapes = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    tensors = {}
    for name, target in NAMES[backbone]().items():
        if target is not None:
            leaf = params.variables[target.collection]["backbone"]
            for key in target.path.split("/"):
                leaf = leaf[key]
            tensors[name] = np.ones(target.file_shape(leaf.shape), np.float32)
    return params, tensors
