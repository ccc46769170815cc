"""Tests the backbones' sizes, shapes and initialisation, shared layers, and ModelSpec."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import ModelSpec
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.layers import Dropout, adaptive_avg_pool
from hashnet_jax.model import extract_features, training_logits

# Parameters of the backbone alone: the published totals (torchvision's, timm's) minus their
# classifiers of 1,000 classes, (D + 1) * 1000 for D features.
PARAMETERS = {
    "alexnet": 61_100_840 - 4_097_000,
    "vgg11": 132_863_336 - 4_097_000,
    "vgg13": 133_047_848 - 4_097_000,
    "vgg16": 138_357_544 - 4_097_000,
    "vgg19": 143_667_240 - 4_097_000,
    "vgg11_bn": 132_868_840 - 4_097_000,
    "vgg13_bn": 133_053_736 - 4_097_000,
    "vgg16_bn": 138_365_992 - 4_097_000,
    "vgg19_bn": 143_678_248 - 4_097_000,
    "resnet18": 11_689_512 - 513_000,
    "resnet34": 21_797_672 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "resnet101": 44_549_160 - 2_049_000,
    "resnet152": 60_192_808 - 2_049_000,
    "efficientnet_lite0": 4_652_008 - 1_281_000,
    "efficientnet_lite1": 5_416_680 - 1_281_000,
    "efficientnet_lite2": 6_092_072 - 1_281_000,
    "vit_s16": 22_050_664 - 385_000,
    "vit_b16": 86_567_656 - 769_000,
    # Without the token for masked patches, which has D parameters.
    "dinov2_s14": 22_056_576 - 384,
    "dinov2_b14": 86_580_480 - 768,
    "dinov3_s16": 21_596_544 - 384,
    "dinov3_b16": 85_660_416 - 768,
    # Without the projection to the space of the captions.
    "clip_b16": 86_192_640 - 768 * 512,
    "siglip_b16": 92_884_224,
    "convnext_t": 28_589_128 - 769_000,
    "mobilenetv3_large": 5_483_032 - 1_281_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_backbone_has_as_many_parameters_as_published(name: str) -> None:
    spec = ModelSpec(name)
    params = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
    leaves = jax.tree.leaves(params.variables["params"]["backbone"])
    assert sum(leaf.size for leaf in leaves) == PARAMETERS[name]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_the_documentation_lists_every_backbone_with_its_size_and_preprocessing() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text()
    table = page.partition("## Backbones")[2].partition("\n## ")[0]
    listed = {}
    for names, millions, image in re.findall(
        r"^\| (`.*?`) \| ([\d.]+) M \| \d+ \| ([\d → ]+) \|", table, re.MULTILINE
    ):
        sizes = [int(size) for size in image.split(" → ")]
        listed |= {name: (float(millions), sizes) for name in re.findall(r"`(\w+)`", names)}
    assert set(listed) == {*PARAMETERS, "small_cnn"}
    for name, (millions, sizes) in listed.items():
        backbone = BACKBONES[name]
        assert sizes in ([backbone.resize, backbone.image_size], [backbone.image_size])
        if name in PARAMETERS:
            assert millions == round(PARAMETERS[name] / 1e6, 1)


# They take long to trace, and differ from resnet50 only in the number of blocks.
_DEEP = ("resnet101", "resnet152")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for name in BACKBONES
        for dtype in ("float32", "bfloat16")
        if dtype == "float32" or name not in _DEEP
    ],
)
def test_features_and_logits_have_the_expected_shapes_and_dtypes_at_the_smallest_size(
    name: str, dtype: str
) -> None:
    size = BACKBONES[name].smallest
    spec = ModelSpec(name, bits=12, image_size=size, resize=size, dtype=dtype)
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    params = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
    features = jax.eval_shape(extract_features, params, images)
    assert features.ndim == 2
    assert features.dtype == jnp.dtype(dtype)
    assert 0 not in features.shape
    z = jax.eval_shape(hashnet_jax.logits, params, images)
    assert (z.shape, z.dtype) == ((2, 12), jnp.float32)
    z, batch_stats = jax.eval_shape(
        lambda params, images: training_logits(params, images, key=jax.random.key(0)),
        params,
        images,
    )
    assert (z.shape, z.dtype) == ((2, 12), jnp.float32)
    assert jax.tree.structure(batch_stats) == jax.tree.structure(params.variables["batch_stats"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "resnet18", "small_cnn"])
def test_the_hash_layer_starts_as_a_narrow_normal_and_logits_are_finite(name: str) -> None:
    size = BACKBONES[name].smallest
    spec = ModelSpec(name, bits=48, image_size=size, resize=size)
    params = hashnet_jax.init(jax.random.key(1), spec)
    hash_layer = params.variables["params"]["hash"]
    assert np.abs(hash_layer["kernel"].mean()) < 1e-3
    np.testing.assert_allclose(hash_layer["kernel"].std(), 0.01, rtol=0.05)
    np.testing.assert_array_equal(hash_layer["bias"], 0)
    images = jax.random.normal(jax.random.key(2), (2, size, size, 3))
    z = jax.jit(hashnet_jax.logits)(params, images)
    assert np.isfinite(z).all()
    assert np.abs(z).max() > 0


@pytest.mark.slow
def test_bfloat16_is_close_to_float32() -> None:
    spec = ModelSpec("small_cnn", bits=16, image_size=8, resize=8)
    half = ModelSpec("small_cnn", bits=16, image_size=8, resize=8, dtype="bfloat16")
    params = hashnet_jax.init(jax.random.key(0), spec)
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    logits = jax.jit(hashnet_jax.logits)
    z = logits(params, images)
    z_half = logits(hashnet_jax.HashNetParams(params.variables, half), images)
    np.testing.assert_allclose(z_half, z, atol=0.03 * np.abs(z).max())


@pytest.mark.parametrize(("height", "size"), [(13, 6), (6, 6), (4, 7), (7, 7), (1, 6)])
def test_adaptive_pooling_averages_the_same_bins_as_torch(height: int, size: int) -> None:
    images = np.random.default_rng(0).normal(size=(2, height, height + 2, 3)).astype(np.float32)
    expected = np.empty((2, size, size, 3), np.float32)
    for i in range(size):
        for j in range(size):
            rows = slice(i * height // size, -(-(i + 1) * height // size))
            columns = slice(j * (height + 2) // size, -(-(j + 1) * (height + 2) // size))
            expected[:, i, j] = images[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(adaptive_avg_pool(jnp.asarray(images), size), expected, atol=1e-6)


def test_dropout_drops_the_same_features_on_one_device_and_on_four() -> None:
    images = jnp.ones((8, 50))
    layer, mapped = Dropout(0.5), Dropout(0.5, axis_name="d")
    rngs = {"dropout": jax.random.key(0)}
    whole = layer.apply({}, images, True, rngs=rngs)
    split = jax.pmap(lambda x: mapped.apply({}, x, True, rngs=rngs), axis_name="d")(
        images.reshape(4, 2, 50)
    )
    np.testing.assert_array_equal(split.reshape(8, 50), whole)
    assert len(np.unique(np.asarray(whole), axis=0)) == 8, "each image has its own mask"
    assert set(np.unique(whole)) == {0.0, 2.0}
    assert 0.4 < float(np.mean(whole > 0)) < 0.6
    np.testing.assert_array_equal(layer.apply({}, images, False), images)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "lenet"}, "`backbone` must be one of small_cnn, alexnet"),
        ({"bits": 0}, "`bits` must be >= 1"),
        ({"image_size": 32}, "alexnet needs 63 <= `image_size`"),
        ({"resize": 200}, "`image_size` <= `resize`"),
        ({"std": (1.0, 0.0, 1.0)}, "`std` > 0"),
        ({"dtype": "float16"}, "`dtype` must be one of float32, bfloat16"),
    ],
)
def test_an_invalid_spec_is_rejected_with_the_requirement(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSpec(**fields)
