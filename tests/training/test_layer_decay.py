"""Tests for learning rates that decay from block to block of a transformer."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hashnet_jax import ModelSpec, init
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.configs import CONFIGS, derive
from hashnet_jax.training import (
    TrainSpec,
    hash_layer_state,
    init_state,
    learning_rate_schedule,
    optimizer,
    train_step,
)
from hashnet_jax.training._layer_decay import layer_factors

TRANSFORMERS = [name for name, backbone in BACKBONES.items() if backbone.first_layers]
SPEC = TrainSpec(total_steps=6, learning_rate=0.1, decays=3, weight_decay=0.01)
# The parameters of a transformer with two blocks.
START = {
    "backbone": {
        "patch_embed": {"kernel": np.array([[1.0, -2.0]], np.float32)},
        "pos_embed": np.array([0.5], np.float32),
        "block1": {"attn": {"qkv": {"kernel": np.array([3.0], np.float32)}}},
        "block2": {"fc1": {"bias": np.array([-1.0], np.float32)}},
        "norm": {"scale": np.array([2.0], np.float32)},
    },
    "hash": {"kernel": np.array([0.25, 4.0], np.float32)},
}
FACTORS = {
    "backbone": {
        "patch_embed": {"kernel": 0.25},
        "pos_embed": 0.25,
        "block1": {"attn": {"qkv": {"kernel": 0.5}}},
        "block2": {"fc1": {"bias": 1.0}},
        "norm": {"scale": 1.0},
    },
    "hash": {"kernel": 10.0},
}


def backbone_shapes(name: str) -> Any:
    spec = ModelSpec(name, image_size=32, resize=32)
    return jax.eval_shape(lambda: init(jax.random.key(0), spec)).variables["params"]["backbone"]


def trained(tx: optax.GradientTransformation, start: Any) -> Any:
    """The parameters after six steps with random gradients."""
    rng, params = np.random.default_rng(0), jax.tree.map(jnp.asarray, start)
    state = tx.init(params)
    for _ in range(SPEC.total_steps):
        gradients = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), start)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_the_rate_of_each_array_of_a_vit_depends_on_its_block() -> None:
    factors = layer_factors(backbone_shapes("vit_s16"), decay=0.5, backbone="vit_s16")
    by_layer = {name: set(jax.tree.leaves(tree)) for name, tree in factors.items()}
    assert by_layer == {
        "patch_embed": {1 / 4096},
        "cls_token": {1 / 4096},
        "pos_embed": {1 / 4096},
        "block1": {1 / 2048},
        "block2": {1 / 1024},
        "block3": {1 / 512},
        "block4": {1 / 256},
        "block5": {1 / 128},
        "block6": {1 / 64},
        "block7": {1 / 32},
        "block8": {1 / 16},
        "block9": {1 / 8},
        "block10": {1 / 4},
        "block11": {1 / 2},
        "block12": {1},
        "norm": {1},
    }
    assert jax.tree.structure(factors) == jax.tree.structure(backbone_shapes("vit_s16"))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_only_the_layers_after_the_blocks_of_a_transformer_have_the_full_rate(name: str) -> None:
    factors = layer_factors(backbone_shapes(name), decay=0.5, backbone=name)
    full = {layer for layer, tree in factors.items() if 1 in jax.tree.leaves(tree)}
    assert full == {"block12", "norm"} | ({"pool"} if name == "siglip_b16" else set())


def test_each_array_takes_the_steps_of_an_sgd_with_its_own_rate() -> None:
    spec = dataclasses.replace(SPEC, layer_decay=0.5)
    got = trained(optimizer(spec, backbone="vit_s16"), START)

    def own(factor: float) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(spec.weight_decay),
            optax.sgd(learning_rate_schedule(spec, factor), momentum=0.9, nesterov=True),
        )

    paths = jax.tree.map_with_path(lambda path, _: jax.tree_util.keystr(path), START)
    each = dict(zip(jax.tree.leaves(paths), map(own, jax.tree.leaves(FACTORS)), strict=True))
    expected = trained(optax.partition(each, paths), START)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, expected)


def test_without_decay_nothing_changes_bit_for_bit() -> None:
    plain, given = optimizer(SPEC), optimizer(SPEC, backbone="vit_s16")
    assert jax.tree.structure(plain.init(START)) == jax.tree.structure(given.init(START))
    jax.tree.map(np.testing.assert_array_equal, trained(plain, START), trained(given, START))


@pytest.mark.slow
def test_a_training_step_changes_the_embeddings_least() -> None:
    model = ModelSpec("vit_s16", bits=8, image_size=32, resize=32)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    batch = {"image": pixels, "label": np.array([0, 0, 1, 1])}
    moves = {}
    for decay in (1.0, 0.9):
        train = TrainSpec(total_steps=10, learning_rate=0.1, layer_decay=decay)
        state = init_state(jax.random.key(0), model, train)
        new, _ = jax.jit(train_step)(state, batch)
        before, after = (one.params.variables["params"] for one in (state, new))
        moves[decay] = jax.tree.map(lambda a, b: np.asarray(a - b), after, before)
    for layer, factor in {"patch_embed": 0.9**12, "block1": 0.9**11, "block12": 1.0}.items():
        full, less = (jax.tree.leaves(moves[decay]["backbone"][layer]) for decay in (1.0, 0.9))
        norms = [float(optax.tree.norm(tree)) for tree in (less, full)]
        np.testing.assert_allclose(norms[0] / norms[1], factor, rtol=1e-3)
    jax.tree.map(np.testing.assert_array_equal, moves[1.0]["hash"], moves[0.9]["hash"])


@pytest.mark.bad_input
@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, np.nan, "0.5"])
def test_a_decay_out_of_range_is_rejected(decay: object) -> None:
    with pytest.raises(ValueError, match=r"`layer_decay` must be in \(0, 1\], got"):
        TrainSpec(layer_decay=decay)  # pyright: ignore[reportArgumentType]


def test_a_decay_is_rejected_where_no_blocks_are_trained_in_order() -> None:
    spec = TrainSpec(layer_decay=0.5)
    small = ModelSpec("small_cnn", bits=8, image_size=8, resize=8)
    with pytest.raises(ValueError, match=r"requires a transformer, one of vit_s16, .*'small_cnn'"):
        init_state(jax.random.key(0), small, spec)
    with pytest.raises(ValueError, match="requires the name of the backbone"):
        optimizer(spec)
    whole = dataclasses.replace(init_state(jax.random.key(0), small, TrainSpec()), spec=spec)
    with pytest.raises(ValueError, match=r"must be 1 if only the hash layer is trained, got 0\.5"):
        hash_layer_state(whole)
    digits = CONFIGS["digits"]
    with pytest.raises(ValueError, match=r"`layer_decay=0.5` requires a transformer"):
        derive(digits, {"layer_decay": 0.5})
    frozen = {"backbone": "vit_s16", "pretrained": "auto", "freeze_backbone": True}
    with pytest.raises(ValueError, match=r"`layer_decay=0.5` requires a trained backbone"):
        derive(digits, {**frozen, "layer_decay": 0.5})
    assert derive(digits, {"backbone": "vit_s16", "layer_decay": 0.5}).train.layer_decay == 0.5
