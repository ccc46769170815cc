"""Tests that HashNetParams is a pytree with a static spec, a short repr and identity equality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.model import (
    hash_layer,
    init_hash_layer,
    spec_from_json,
    spec_to_json,
    training_logits,
)

SPEC = ModelSpec("small_cnn", bits=20, image_size=8, resize=8)
REPR = "HashNetParams(small_cnn, 20 bits, 94,340 parameters, float32)"


def test_its_repr_is_one_line_for_arrays_shapes_and_tracers() -> None:
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    count = sum(leaf.size for leaf in jax.tree.leaves(params.variables["params"]))
    assert f"{count:,}" in REPR
    shapes = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), SPEC))
    seen = []

    @jax.jit
    def traced(params: HashNetParams) -> Array:
        seen.append(repr(params))
        return params.variables["params"]["hash"]["bias"]

    traced(params)
    assert [repr(params), str(params), repr(shapes), *seen] == [REPR] * 4
    assert repr(hash_layer(params)) == (
        "HashNetParams(hash layer for small_cnn, 20 bits, 5,140 parameters, float32)"
    )
    assert (
        repr(HashNetParams({}, SPEC)) == "HashNetParams(small_cnn, 20 bits, 0 parameters, float32)"
    )


def test_it_is_compared_and_hashed_by_identity() -> None:
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    same = HashNetParams(params.variables, params.spec)
    assert params == params
    assert params != same
    assert {params: 1}[params] == 1
    assert len({params, same}) == 2


def test_it_is_a_pytree_whose_structure_holds_the_spec() -> None:
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    leaves, structure = jax.tree.flatten(params)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert jax.tree.unflatten(structure, leaves).spec == SPEC
    other = ModelSpec("small_cnn", bits=20, image_size=8, resize=9)
    assert jax.tree.structure(HashNetParams(params.variables, SPEC)) == structure
    assert jax.tree.structure(HashNetParams(params.variables, other)) != structure


def test_it_can_be_an_argument_and_a_result_of_exported_programs() -> None:
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    doubled = export.export(jax.jit(lambda params: jax.tree.map(lambda x: 2 * x, params)))(params)
    result = export.deserialize(doubled.serialize()).call(params)
    assert isinstance(result, HashNetParams)
    assert result.spec == SPEC
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(2 * x, y), params, result)


def test_a_spec_survives_json() -> None:
    spec = ModelSpec.for_backbone("vit_s16", bits=7, dtype="bfloat16")
    assert spec_from_json(spec_to_json(spec)) == spec


def test_an_unknown_backbone_mode_is_rejected() -> None:
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    with pytest.raises(ValueError, match="`backbone_mode` must be 'train' or 'inference'"):
        training_logits(
            params, jnp.zeros((2, 8, 8, 3)), key=jax.random.key(1), backbone_mode="test"
        )


def test_a_hash_layer_alone_starts_like_that_of_a_whole_network() -> None:
    whole, layer = (f(jax.random.key(3), SPEC) for f in (hashnet_jax.init, init_hash_layer))
    assert jax.tree.structure(layer) == jax.tree.structure(whole)
    for name, array in whole.variables["params"]["hash"].items():
        np.testing.assert_array_equal(layer.variables["params"]["hash"][name], array)
    backbones = (params.variables["params"]["backbone"] for params in (whole, layer))
    arrays, shapes = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), b) for b in backbones)
    assert arrays == shapes
