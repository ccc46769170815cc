"""Stand-ins for public weight files, made from the names of their tensors alone."""

import jax
import numpy as np

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.backbones import BACKBONES, Target


def targets_of(backbone: str) -> dict[str, Target]:
    """Where each tensor that a public file must hold goes."""
    weights = BACKBONES[backbone].weights
    assert weights is not None
    targets = weights.tensor_names()
    return {name: target for name, target in targets.items() if target is not None}


def zeros_and_tensors_of_ones(
    backbone: str = "resnet18", side: int = 32
) -> tuple[HashNetParams, dict[str, np.ndarray]]:
    """``(params, tensors)``: params of zeros, and tensors of ones under a public file's names."""
    spec = ModelSpec(backbone, image_size=side, resize=side)
    shapes = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    tensors = {}
    for name, target in targets_of(backbone).items():
        leaf = params.variables[target.collection]["backbone"]
        for key in target.path.split("/"):
            leaf = leaf[key]
        tensors[name] = np.ones(target.file_shape(leaf.shape), np.float32)
    return params, tensors
