"""Reads and writes `model.npz` files, and reads public backbone weights."""

from hashnet_jax.weights._convert import convert_backbone, load_backbone
from hashnet_jax.weights._find import find_weights
from hashnet_jax.weights._model_file import MODEL_FILE, load, read_spec, save
from hashnet_jax.weights._tensor_files import read_tensors

__all__ = [
    "MODEL_FILE",
    "convert_backbone",
    "find_weights",
    "load",
    "load_backbone",
    "read_spec",
    "read_tensors",
    "save",
]
