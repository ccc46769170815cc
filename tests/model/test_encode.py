"""Tests encode under transformations, its preprocessing, saving, exporting, and its errors."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export
from PIL import Image

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.model import preprocess

SPEC = ModelSpec(backbone="small_cnn", bits=20, image_size=12, resize=14)


@pytest.fixture(scope="module")
def params() -> HashNetParams:
    return hashnet_jax.init(jax.random.key(0), SPEC)


def pictures(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_codes_are_int8_values_of_minus_or_plus_one(params: HashNetParams) -> None:
    codes = hashnet_jax.encode(params, pictures(0, 5, 17, 30, 3))
    assert codes.shape == (5, 20)
    assert codes.dtype == jnp.int8
    assert set(np.unique(codes)) == {-1, 1}


def test_encode_under_jit_compiles_once_for_two_calls_and_equals_the_eager_call(
    params: HashNetParams,
) -> None:
    traces = []

    @jax.jit
    def pipeline(params: HashNetParams, images: Array) -> Array:
        traces.append(images)
        return hashnet_jax.encode(params, images)

    for seed in (1, 2):
        images = pictures(seed, 4, 20, 16, 3)
        np.testing.assert_array_equal(pipeline(params, images), hashnet_jax.encode(params, images))
    assert len(traces) == 1


@pytest.mark.slow
def test_encode_gives_the_same_codes_without_jit(params: HashNetParams) -> None:
    images = pictures(3, 4, 20, 16, 3)
    compiled = hashnet_jax.encode(params, images)
    with jax.disable_jit():
        np.testing.assert_array_equal(hashnet_jax.encode(params, images), compiled)


def test_encode_under_vmap_equals_one_call_per_group(params: HashNetParams) -> None:
    groups = pictures(4, 3, 2, 20, 16, 3)
    codes = jax.vmap(hashnet_jax.encode, in_axes=(None, 0))(params, groups)
    for group, code in zip(groups, codes, strict=True):
        np.testing.assert_array_equal(hashnet_jax.encode(params, group), code)


def test_encode_works_inside_another_models_jitted_function(params: HashNetParams) -> None:
    images = pictures(5, 6, 20, 16, 3)

    @jax.jit
    def agreement(weights: Array, images: Array) -> Array:
        codes = hashnet_jax.encode(params, images).astype(jnp.float32)
        return jax.nn.sigmoid(codes @ weights)

    weights = jax.random.normal(jax.random.key(1), (20,))
    expected = jax.nn.sigmoid(hashnet_jax.encode(params, images).astype(jnp.float32) @ weights)
    np.testing.assert_allclose(agreement(weights, images), expected, rtol=1e-5)


def test_float_images_are_treated_as_preprocessed(params: HashNetParams) -> None:
    images = pictures(6, 3, 33, 9, 3)
    np.testing.assert_array_equal(
        hashnet_jax.encode(params, preprocess(jnp.asarray(images), SPEC)),
        hashnet_jax.encode(params, images),
    )


def test_a_saved_and_loaded_network_gives_the_same_codes(
    params: HashNetParams, tmp_path: Path
) -> None:
    images = pictures(7, 8, 20, 16, 3)
    hashnet_jax.save(tmp_path, params)
    loaded = hashnet_jax.load(tmp_path)
    assert loaded.spec == params.spec
    np.testing.assert_array_equal(
        hashnet_jax.encode(loaded, images), hashnet_jax.encode(params, images)
    )


@pytest.mark.parametrize("with_params", [True, False])
def test_encode_exported_serialised_loaded_and_called_gives_the_same_codes(
    params: HashNetParams, with_params: bool
) -> None:
    images = pictures(8, 4, 20, 16, 3)
    if with_params:
        exported = export.export(jax.jit(hashnet_jax.encode))(params, images)
        call = export.deserialize(exported.serialize()).call
        codes = call(params, images)
    else:
        exported = export.export(jax.jit(lambda images: hashnet_jax.encode(params, images)))(images)
        codes = export.deserialize(exported.serialize()).call(images)
    np.testing.assert_array_equal(codes, hashnet_jax.encode(params, images))


@pytest.mark.slow
def test_the_batch_size_may_stay_symbolic_in_an_export(params: HashNetParams) -> None:
    (batch,) = export.symbolic_shape("b")
    shape = jax.ShapeDtypeStruct((batch, 20, 16, 3), jnp.uint8)
    exported = export.export(jax.jit(lambda images: hashnet_jax.encode(params, images)))(shape)
    for n in (1, 5):
        images = pictures(n, n, 20, 16, 3)
        np.testing.assert_array_equal(exported.call(images), hashnet_jax.encode(params, images))


@pytest.mark.parametrize(("height", "width"), [(100, 60), (9, 31), (14, 14), (1, 1)])
def test_device_resizing_matches_pil_to_within_one_level_of_255(height: int, width: int) -> None:
    spec = ModelSpec(
        "small_cnn", image_size=14, resize=14, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    image = pictures(9, height, width, 3)
    expected = Image.fromarray(image).resize((14, 14), Image.Resampling.BILINEAR)
    got = preprocess(jnp.asarray(image)[None], spec)[0] * 255
    assert np.abs(np.asarray(got) - np.asarray(expected, np.float32)).max() < 1.01


def test_the_centre_is_cropped_and_each_channel_normalised() -> None:
    spec = ModelSpec("small_cnn", image_size=4, resize=6, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    image = pictures(10, 1, 6, 6, 3)
    expected = (image[:, 1:5, 1:5] / 255 - [[[[0.1, 0.2, 0.3]]]]) / [[[[1, 2, 4]]]]
    np.testing.assert_allclose(preprocess(jnp.asarray(image), spec), expected, atol=1e-6)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 9, 9, 3), np.int32), TypeError, "uint8"),
        (np.zeros((9, 9, 3), np.uint8), ValueError, r"images\[None\]"),
        (np.zeros((2, 9, 9, 1), np.uint8), ValueError, "grey"),
        (np.zeros((2, 0, 9, 3), np.uint8), ValueError, "H, W >= 1"),
        (np.zeros((2, 9, 9, 3), np.float32), ValueError, r"\[B, 12, 12, 3\]"),
    ],
)
def test_invalid_images_are_rejected_with_the_requirement(
    params: HashNetParams, images: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hashnet_jax.encode(params, images)


@pytest.mark.bad_input
def test_params_of_another_type_are_rejected_with_a_remedy() -> None:
    not_params: Any = {"params": {}}
    with pytest.raises(TypeError, match=r"hashnet_jax\.load"):
        hashnet_jax.encode(not_params, np.zeros((1, 8, 8, 3), np.uint8))


def test_an_empty_batch_gives_no_codes(params: HashNetParams) -> None:
    assert hashnet_jax.encode(params, np.zeros((0, 9, 9, 3), np.uint8)).shape == (0, 20)
