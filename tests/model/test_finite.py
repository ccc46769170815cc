"""Tests that NaN in images or weights is refused instead of encoded as -1."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.model import check_finite, hash_layer, spec_from_json, spec_to_json

SPEC = ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


@pytest.fixture(scope="module")
def params() -> HashNetParams:
    return hashnet_jax.init(jax.random.key(0), SPEC)


def with_kernel(params: HashNetParams, kernel: object) -> HashNetParams:
    trained = params.variables["params"]
    trained = trained | {"hash": trained["hash"] | {"kernel": kernel}}
    return dataclasses.replace(params, variables=params.variables | {"params": trained})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("on_device", [True, False])
def test_an_image_with_a_non_finite_pixel_is_rejected_naming_the_pixel(
    params: HashNetParams, value: float, on_device: bool
) -> None:
    images = np.zeros((3, 8, 8, 3), np.float32)
    images[2, 5, 7, 1] = value
    if on_device:
        images = jnp.asarray(images)
    with pytest.raises(ValueError, match=rf"images\[2, 5, 7, 1\] is {value}\."):
        hashnet_jax.encode(params, images)


def test_bfloat16_images_are_checked_too(params: HashNetParams) -> None:
    images = jnp.zeros((1, 8, 8, 3), jnp.bfloat16)
    assert hashnet_jax.encode(params, images).shape == (1, 12)
    with pytest.raises(ValueError, match=r"images\[0, 0, 0, 0\] is nan"):
        hashnet_jax.encode(params, images.at[0, 0, 0, 0].set(jnp.nan))


def test_traced_images_are_encoded_without_a_check(params: HashNetParams) -> None:
    images = jnp.full((1, 8, 8, 3), jnp.nan)
    codes = jax.jit(hashnet_jax.encode)(params, images)
    np.testing.assert_array_equal(codes, np.full((1, 12), -1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_with_a_non_finite_weight_is_rejected_naming_the_array(
    params: HashNetParams, value: float
) -> None:
    check_finite(params)
    kernel = np.array(params.variables["params"]["hash"]["kernel"])
    kernel[3, 4] = value
    message = "1 of 3,072 entries of `params/hash/kernel` are NaN or infinite"
    for broken in (with_kernel(params, kernel), with_kernel(params, jnp.asarray(kernel))):
        with pytest.raises(ValueError, match=message):
            check_finite(broken)
        with pytest.raises(ValueError, match=message):
            check_finite(hash_layer(broken))


def test_the_error_says_where_the_network_is_from(params: HashNetParams) -> None:
    broken = jax.tree.map(lambda array: array * jnp.nan, params)
    with pytest.raises(ValueError, match="all values in the network in run must be finite"):
        check_finite(broken, source="the network in run")


def test_running_statistics_are_checked_as_well(params: HashNetParams) -> None:
    statistics = jax.tree.map(lambda array: array * jnp.nan, params.variables["batch_stats"])
    broken = dataclasses.replace(params, variables=params.variables | {"batch_stats": statistics})
    with pytest.raises(ValueError, match="`batch_stats/backbone/"):
        check_finite(broken)


def test_traced_networks_are_not_checked(params: HashNetParams) -> None:
    broken = jax.tree.map(lambda array: array * jnp.nan, params)

    @jax.jit
    def bits(params: HashNetParams) -> jax.Array:
        check_finite(params)
        return params.variables["params"]["hash"]["bias"]

    assert bits(broken).shape == (12,)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 12.0}, r"`bits` must be an int, got 12\.0"),
        ({"bits": True}, r"`bits` must be an int, got True"),
        ({"bits": "12"}, r"`bits` must be an int, got '12'"),
        ({"bits": 0}, r"`bits` must be >= 1, got 0"),
        ({"image_size": None}, r"`image_size` must be an int, got None"),
        ({"resize": 7}, r"small_cnn needs 4 <= `image_size` <= `resize`, got 8 and 7"),
        ({"image_size": 3}, r"small_cnn needs 4 <= `image_size` <= `resize`, got 3 and 8"),
        ({"backbone": ["small_cnn"]}, r"`backbone` must be one of small_cnn"),
        ({"mean": 0.5}, r"`mean` and `std` must have three finite entries"),
        ({"mean": [0.5, 0.5]}, r"`mean` and `std` must have three finite entries"),
        ({"mean": [0.5, 0.5, "x"]}, r"`mean` and `std` must have three finite entries"),
        ({"mean": [0.5, float("nan"), 0.5]}, r"`mean` and `std` must have three finite entries"),
        ({"std": [0.5, 0.5, float("inf")]}, r"`mean` and `std` must have three finite entries"),
        ({"std": [0.5, 0.5, 0]}, r"`std` > 0"),
        ({"dtype": 32}, r"`dtype` must be one of float32, bfloat16, got 32"),
    ],
)
def test_a_spec_with_a_wrong_value_is_rejected_even_from_json(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **change)
    with pytest.raises(ValueError, match=message):
        spec_from_json(json.dumps(dataclasses.asdict(SPEC) | change))


def test_a_spec_reports_every_problem_on_its_own_line() -> None:
    lines = r"`backbone` must .*\n`bits` must .*\n`dtype` must .*"
    with pytest.raises(ValueError, match=lines):
        ModelSpec("lenet", bits=0, dtype="float16")


@pytest.mark.bad_input
def test_sizes_may_be_numpy_integers() -> None:
    spec = ModelSpec("small_cnn", bits=np.int64(12), image_size=np.int32(8), resize=np.uint8(8))
    assert spec == SPEC
    assert spec_from_json(spec_to_json(spec)) == SPEC


@pytest.mark.parametrize("text", ["[]", "null", "{}", '"x"', '{"bits": 48}', "[1", ""])
def test_json_that_is_not_a_spec_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own errors are among them
        spec_from_json(text)


def test_a_spec_with_an_unknown_field_is_rejected() -> None:
    text = json.dumps(dataclasses.asdict(SPEC) | {"colour": 1})
    with pytest.raises(ValueError, match=r"must have the fields \['backbone', .*'colour'"):
        spec_from_json(text)
