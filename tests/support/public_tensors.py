"""Makes stand-ins for public weight files from nothing but the names of their tensors."""

import jax
import numpy as np

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.backbones import BACKBONES, Target


def targets_of(backbone: str) -> dict[str, Target]:
    """Returns where each tensor in a public weight file belongs, keyed by the tensor's name."""
    weights = BACKBONES[backbone].weights
    assert weights is not None
    targets = weights.tensor_names()
    return {name: target for name, target in targets.items() if target is not None}


def zeros_and_tensors_of_ones(
    backbone: str = "resnet18", side: int = 32
) -> tuple[HashNetParams, dict[str, np.ndarray]]:
    """Returns params of zeros, and tensors of ones with the names used in a public weight file."""
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
