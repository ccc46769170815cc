"""Tests that a new backbone takes just one file and one registration."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.typing import DTypeLike

import hashnet_jax
from hashnet_jax import ModelSpec, backbones
from hashnet_jax.backbones import Backbone, PublicWeights, Target
from hashnet_jax.weights import load_backbone


class ToyBackbone(nn.Module):
    """One strided convolution followed by global average pooling."""

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        x = nn.Conv(5, (2, 2), (2, 2), padding="VALID", dtype=self.dtype, name="stem")(images)
        return jnp.mean(nn.relu(x), axis=(1, 2))


def tensor_names() -> dict[str, Target | None]:
    return {
        "conv.weight": Target("params", "stem/kernel", axes=(2, 3, 1, 0)),
        "conv.bias": Target("params", "stem/bias"),
        "classifier.weight": None,
    }


backbones.register(
    "toy_backbone",
    Backbone(
        ToyBackbone,
        image_size=6,
        smallest=2,
        resize=8,
        mean=(0.5, 0.25, 0.125),
        std=(0.5, 0.5, 0.25),
        weights=PublicWeights(tensor_names, url="https://example.org/toy.safetensors"),
    ),
)


def test_a_registered_backbone_encodes_images() -> None:
    spec = ModelSpec.for_backbone("toy_backbone", bits=16)
    assert (spec.image_size, spec.resize, spec.mean) == (6, 8, (0.5, 0.25, 0.125))
    params = hashnet_jax.init(jax.random.key(0), spec)
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 9, 3), np.uint8)
    codes = hashnet_jax.encode(params, images)
    assert codes.shape == (3, 16)
    assert set(np.unique(codes)) == {-1, 1}


def test_its_public_weights_are_loaded_from_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    weight = np.random.default_rng(0).normal(size=(5, 3, 2, 2)).astype(np.float32)
    tensors = {
        "conv.weight": weight,
        "conv.bias": np.arange(5, dtype=np.float32),
        "classifier.weight": np.zeros((2, 5), np.float32),
    }
    safetensors.save_file(tensors, tmp_path / "toy.safetensors")
    params = hashnet_jax.init(jax.random.key(0), ModelSpec.for_backbone("toy_backbone"))
    loaded = load_backbone(params, tmp_path / "toy.safetensors")
    stem = loaded.variables["params"]["backbone"]["stem"]
    np.testing.assert_array_equal(stem["kernel"], weight.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(stem["bias"], tensors["conv.bias"])
    assert loaded.variables["params"]["hash"] is params.variables["params"]["hash"]


def test_a_registered_name_cannot_be_reused() -> None:
    with pytest.raises(ValueError, match="'toy_backbone' is already registered"):
        backbones.register("toy_backbone", Backbone(ToyBackbone))
