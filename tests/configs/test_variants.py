"""Tests for the paper's ablations: their effect on the loss, and the option to select them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from hashnet_jax import ModelSpec, backbones
from hashnet_jax.cli import _options, _resolve
from hashnet_jax.codes import relax
from hashnet_jax.configs import CONFIGS, VARIANTS
from hashnet_jax.model import HashNetParams, training_logits
from hashnet_jax.training import TrainSpec, beta_schedule, init_state, optimizer, train_step
from tests.support.pair_oracle import gradient_by_loop, gradient_by_package, pair_weight

MULTI_HOT = np.array(
    [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], np.int8
)
CLASS_IDS = np.array([0, 0, 1, 2, 1, 0])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["hashnet", "hashnet+c", "hashnet-w"])
def test_gradients_of_multi_label_codes_match_a_loop_over_pairs(variant):
    codes = np.random.default_rng(0).uniform(-1, 1, (6, 8))
    found = gradient_by_package(codes, MULTI_HOT, 1.25, variant)
    np.testing.assert_allclose(
        found, gradient_by_loop(codes, MULTI_HOT, 1.25, variant), rtol=1e-5, atol=1e-7
    )
    if variant != "hashnet":
        assert np.abs(found - gradient_by_package(codes, MULTI_HOT, 1.25, "hashnet")).max() > 1e-3


@pytest.mark.parametrize("labels", [CLASS_IDS, np.eye(3, dtype=np.int8)[CLASS_IDS]])
def test_continuous_similarity_changes_nothing_on_single_label_data(labels):
    codes = np.random.default_rng(1).uniform(-1, 1, (6, 8))
    np.testing.assert_array_equal(
        gradient_by_package(codes, labels, 1.25, "hashnet+c"),
        gradient_by_package(codes, labels, 1.25, "hashnet"),
    )


class Flat(nn.Module):
    """A backbone that is cheap to compile: a dense layer on the flattened pixels."""

    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(5, name="dense")(images.reshape(len(images), -1))


backbones.register("flat_pixels", backbones.Backbone(Flat, image_size=4, smallest=4))


@pytest.mark.slow
def test_a_step_of_hashnet_c_updates_the_parameters_as_in_the_formula():
    spec = ModelSpec(
        "flat_pixels", bits=8, image_size=4, resize=4, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    train = dataclasses.replace(TrainSpec(total_steps=100), **VARIANTS["hashnet+c"])
    state = init_state(jax.random.key(0), spec, train)
    images = np.random.default_rng(2).integers(0, 256, (6, 4, 4, 3), np.uint8)
    normalized = jnp.asarray((images / 255 - 0.5) / 0.25, jnp.float32)
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    terms = [pair_weight(MULTI_HOT, i, j, "hashnet+c") for i, j in pairs]
    total = sum(weight for _, weight in terms)

    def loss(trained):
        params = HashNetParams({**state.params.variables, "params": trained}, spec)
        z, _ = training_logits(params, normalized, key=jax.random.fold_in(state.key, 0))
        codes = relax(z, state.beta)
        loss = 0.0
        for (i, j), (similar, weight) in zip(pairs, terms, strict=True):
            logit = 10 / 8 * jnp.vdot(codes[i], codes[j])
            loss += weight * (jnp.logaddexp(0.0, logit) - similar * logit)
        return loss / total

    trained = state.params.variables["params"]
    value, gradients = jax.jit(jax.value_and_grad(loss))(trained)
    updates, _ = optimizer(state.spec).update(gradients, state.opt_state, trained)
    batch = {"image": jnp.asarray(images), "label": jnp.asarray(MULTI_HOT)}
    stepped, metrics = jax.jit(train_step)(state, batch)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["gradient_norm"], optax.tree.norm(gradients), rtol=1e-4)
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, atol=1e-6),
        stepped.params.variables["params"],
        optax.apply_updates(trained, updates),
    )


def test_beta_stays_one_only_for_hashnet_sgn():
    for variant, fields in VARIANTS.items():
        schedule = beta_schedule(dataclasses.replace(TrainSpec(), **fields))
        assert float(schedule(0)) == 1.0
        assert (float(schedule(9_999)) == 1.0) == (variant == "hashnet-sgn")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variant_option_sets_the_train_fields_and_the_run_folder(variant):
    args = _options.parser().parse_args(["--variant", variant])
    config = _options.config_of(args)
    assert config.variant == variant
    for field, value in VARIANTS[variant].items():
        assert getattr(config.train, field) == value
    assert config.train.total_steps == CONFIGS["digits"].train.total_steps
    folder = _resolve.default_folder(config).name
    assert folder.startswith("digits-small" if variant == "hashnet" else f"digits-{variant}-small")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_default_config_is_hashnet(config):
    assert config.variant == "hashnet"


def test_other_schedules_work_with_every_variant_except_the_one_without_continuation():
    def config(*argv):
        args = _options.parser().parse_args(argv)
        return _options.with_overrides(CONFIGS["coco"], _options.overrides(args))

    assert config("--variant", "hashnet+c", "--beta-schedule", "stages").variant == "custom"
    with pytest.raises(ValueError, match="cannot be combined with `beta_schedule='sqrt'`"):
        config("--variant", "hashnet-sgn", "--beta-schedule", "sqrt")
