"""Tests for the recipes, and which of them a run gets."""

import pytest

from hashnet_jax.cli import _options, _resolve
from hashnet_jax.configs import CONFIGS, RECIPES, recipe_fields

FROZEN = ("--backbone", "efficientnet_lite0", "--pretrained", "auto", "--freeze-backbone")


def config(*argv):
    return _options.config_of(_options.parser().parse_args(argv))


@pytest.mark.parametrize("own", CONFIGS.values(), ids=CONFIGS)
def test_every_default_config_is_the_papers_recipe(own):
    assert own.recipe == "paper"


@pytest.mark.parametrize(
    ("recipe", "frozen"),
    [*((recipe, FROZEN) for recipe in RECIPES), ("paper", ()), ("improved", ())],
)
def test_the_recipe_option_sets_the_fields_of_the_recipe(recipe, frozen):
    found = config(*frozen, "--bits", "16", "--recipe", recipe)
    expected = recipe_fields(recipe, bits=16, frozen=bool(frozen))
    assert {name: getattr(found.train, name) for name in expected} == expected
    assert (found.recipe, found.variant) == (recipe, "hashnet")


def test_a_frozen_backbone_selects_the_improved_recipe_and_a_variant_the_papers():
    assert config(*FROZEN).recipe == "improved"
    assert config(*FROZEN, "--variant", "hashnet").recipe == "paper"
    assert config(*FROZEN, "--variant", "hashnet-w", "--recipe", "improved").recipe == "improved"
    assert config(*FROZEN, "--variant", "hashnet").train.weight_decay == 5e-3


@pytest.mark.parametrize(("bits", "alpha"), [(16, 0.2), (64, 0.1), (48, 0.1155)])
def test_alpha_of_the_improved_recipe_follows_the_number_of_bits(bits, alpha):
    assert config("--recipe", "improved", "--bits", str(bits)).train.alpha == alpha
    begun = config("--recipe", "improved", "--bits", "32")
    assert _options.with_overrides(begun, {"bits": bits}).train.alpha == alpha


def test_fields_of_a_recipe_can_be_overridden():
    found = config(*FROZEN, "--alpha", "0.3", "--no-standardize")
    assert (found.train.alpha, found.train.standardize, found.train.offset) == (0.3, False, 0.1)
    assert found.recipe == "custom"


def test_the_run_folder_names_a_recipe_that_is_not_the_default():
    def name(*argv):
        return _resolve.default_folder(config(*argv)).name

    assert name() == "digits-small_cnn-48bits-seed0"
    assert name("--recipe", "improved") == "digits-improved-small_cnn-48bits-seed0"
    assert name(*FROZEN) == "digits-efficientnet_lite0-frozen-48bits-seed0"
    paper = "digits-paper-efficientnet_lite0-frozen-48bits-seed0"
    assert name(*FROZEN, "--recipe", "paper") == paper


def test_the_recipe_for_unseen_classes_requires_a_frozen_backbone():
    with pytest.raises(ValueError, match="`recipe='unseen'` requires a frozen backbone"):
        config("--recipe", "unseen")
    with pytest.raises(ValueError, match="`hash_init='lda-itq'` requires a frozen backbone"):
        config("--hash-init", "lda-itq")
