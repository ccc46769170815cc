"""Tests that foundation models compute the same features as in transformers, from their files."""

from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import ModelSpec
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.weights import find_weights, load_backbone

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("safetensors")

from tests.support.hub_models import REFERENCES, random_reference  # noqa: E402 (needs torch)


def unset_params(backbone: str) -> hashnet_jax.HashNetParams:
    """Returns parameters that are all NaN, so that a missed array shows up in the features."""
    spec = ModelSpec.for_backbone(backbone)
    shapes = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan, np.float32), shapes)


def compare_with_reference(backbone: str, folder: Path, sizes: list[tuple[int, int]]) -> None:
    model = random_reference(backbone)
    _, features, write = REFERENCES[backbone]
    file = find_weights(backbone, write(model, folder))
    variables = load_backbone(unset_params(backbone), file).variables
    ours = {kind: tree["backbone"] for kind, tree in variables.items() if "backbone" in tree}
    module = BACKBONES[backbone].build()
    for height, width in sizes:
        # Noise, so that a rotated or mirrored image would have different features.
        images = np.random.default_rng(1).normal(size=(2, height, width, 3)).astype(np.float32)
        with torch.inference_mode():
            expected = features(model, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        assert (expected[0] - expected[1]).abs().max() > 0.1, "features must differ between images"
        got = jax.jit(lambda images: module.apply(ours, images, False))(images)
        np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=1e-4)


# Position embeddings are those of 224 pixels for CLIP and SigLIP, and of 518 for DINOv2. Other
# sizes, also those that are not square or no multiple of the patch, resample them.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "sizes"),
    [
        ("dinov2_s14", [(112, 112), (90, 150)]),
        ("dinov2_b14", [(56, 56)]),
        ("convnext_t", [(64, 64), (75, 101)]),
        ("clip_b16", [(224, 224), (50, 96)]),
        ("siglip_b16", [(224, 224), (50, 96)]),
        ("dinov3_s16", [(64, 64), (50, 96)]),
        ("dinov3_b16", [(50, 96)]),
        ("mobilenetv3_large", [(64, 64), (63, 97)]),
    ],
)
def test_features_match_the_reference_for_the_same_file_and_images(
    backbone: str, sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    compare_with_reference(backbone, tmp_path, sizes)


def test_every_reference_is_a_backbone_with_a_file_to_download() -> None:
    for name in REFERENCES:
        weights = BACKBONES[name].weights
        assert weights is not None
        assert weights.url is not None
