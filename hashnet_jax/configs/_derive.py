"""Derives defaults that depend on other settings, e.g. on the pretrained weights or variant."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hashnet_jax.backbones import BACKBONES
from hashnet_jax.configs._config import PARTS, Config
from hashnet_jax.configs.recipes import default_recipe, recipe_fields
from hashnet_jax.configs.variants import VARIANTS
from hashnet_jax.model import ModelSpec
from hashnet_jax.training import TrainSpec

# The authors' learning rates for fine-tuning. The higher rates for training from scratch would
# destroy pretrained weights.
FINE_TUNING: dict[str, Any] = {
    "learning_rate": TrainSpec().learning_rate,
    "hash_multiplier": TrainSpec().hash_multiplier,
}

# Settings for training only the hash layer, on features from a frozen backbone. They were tuned for
# EfficientNet-Lite0 on a miniature version of ImageNet-100 (12 clip-art training images per class),
# by MAP on three held-out images per class that are not queries.
FROZEN_TRAINING: dict[str, Any] = {
    "total_steps": 3_000,
    "learning_rate": 4e-3,
    "hash_multiplier": 10.0,
    "backbone_mode": "inference",
}
FROZEN_BATCHES: dict[str, Any] = {"batch_size": 128, "augmentation": "none"}


def derive(
    config: Config,
    changes: Mapping[str, Any],
    *,
    variant: str | None = None,
    recipe: str | None = None,
) -> Config:
    """Returns a config with changed fields, and adjusts the fields that depend on them.

    Fields are adjusted as follows, unless they are in ``changes``:

    - Pretrained weights set the preprocessing they expect, and learning rates for fine-tuning.
    - Freezing the backbone sets the number of steps, learning rates, batch size and other settings
      for training only the hash layer.
    - A variant of the paper's method sets the loss and schedule, and selects the recipe "paper".
    - A recipe sets the fields listed in :mod:`hashnet_jax.configs.recipes`, some of which depend on
      the number of bits. Freezing the backbone selects the improved recipe.
    - If the image size is too small for a new backbone, the backbone's default size is used.

    Args:
      config: config to start from.
      changes: new values for fields of the config and its parts, e.g. ``{"bits": 16}``.
      variant: name of a variant in ``VARIANTS``, or None to keep the variant of ``config``.
      recipe: name of a recipe in ``RECIPES``, or None to keep the recipe of ``config``, unless a
        variant or a frozen backbone selects another recipe.

    Returns:
      The new config.

    Raises:
      ValueError: if values are out of range or contradict each other; the message has one line per
        problem.

    Examples:
      >>> from hashnet_jax.configs import CONFIGS
      >>> large = derive(CONFIGS["digits"], {"backbone": "alexnet"}, variant="hashnet-w")
      >>> large.model.image_size, large.train.balance, large.train.total_steps
      (224, 'none', 1800)
    """
    config, before = _with_expected_preprocessing(config, changes), config
    implied = {
        **_fine_tuning(before, changes),
        **_frozen_backbone(before, changes),
        **_recipe(recipe, before, changes, variant),
        **_variant(variant, changes),
    }
    return _replace(config, implied | dict(changes) | _image_sizes(config.model, changes))


def _starts_from_other_weights(config: Config, changes: Mapping[str, Any]) -> bool:
    pretrained = changes.get("pretrained", config.pretrained)
    backbone = changes.get("backbone", config.model.backbone)
    unchanged = (pretrained, backbone) == (config.pretrained, config.model.backbone)
    return pretrained != "none" and not unchanged


def _with_expected_preprocessing(config: Config, changes: Mapping[str, Any]) -> Config:
    """Sets the image sizes, mean and std that the pretrained weights expect."""
    if not _starts_from_other_weights(config, changes):
        return config
    expected = ModelSpec.for_backbone(
        changes.get("backbone", config.model.backbone),
        bits=config.model.bits,
        dtype=config.model.dtype,
    )
    return dataclasses.replace(config, model=expected)


def _fine_tuning(config: Config, changes: Mapping[str, Any]) -> dict[str, Any]:
    first_weights = config.pretrained == "none" and _starts_from_other_weights(config, changes)
    return FINE_TUNING if first_weights else {}


def _frozen_backbone(config: Config, changes: Mapping[str, Any]) -> dict[str, Any]:
    freezes = changes.get("freeze_backbone", False) and not config.freeze_backbone
    return FROZEN_TRAINING | FROZEN_BATCHES if freezes else {}


def _recipe(
    name: str | None, config: Config, changes: Mapping[str, Any], variant: str | None
) -> dict[str, Any]:
    frozen = changes.get("freeze_backbone", config.freeze_backbone)
    if name is None and variant is not None:
        name = "paper"
    elif name is None and frozen != config.freeze_backbone:
        name = default_recipe(frozen=frozen)
    name = name or config.recipe
    bits = changes.get("bits", config.model.bits)
    if name == "custom" or bits < 1:  # ModelSpec raises the error.
        return {}
    return recipe_fields(name, bits=bits, frozen=frozen)


def _variant(name: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    if name is None:
        return {}
    fields = VARIANTS[name]
    schedule = changes.get("beta_schedule", "constant")
    if fields["beta_schedule"] == "constant" != schedule:
        raise ValueError(
            f"`variant='{name}'` does not use continuation, so it cannot be combined with "
            f"`beta_schedule='{schedule}'`. Omit one of them."
        )
    return fields


def _image_sizes(model: ModelSpec, changes: Mapping[str, Any]) -> dict[str, Any]:
    backbone = changes.get("backbone", model.backbone)
    if backbone not in BACKBONES:
        return {}  # ModelSpec raises the error.
    size = changes.get("image_size", model.image_size)
    if size < BACKBONES[backbone].smallest and "image_size" not in changes:
        size = BACKBONES[backbone].image_size
    # Keep the ratio of the resized image to the centre crop.
    resize = changes.get("resize", round(size * (model.resize / model.image_size)))
    return {"image_size": size, "resize": resize}


def _replace(config: Config, changes: Mapping[str, Any]) -> Config:
    """Replaces fields of a config and its parts; raises one ValueError for all invalid fields."""
    left, parts, problems = dict(changes), {}, []
    for name, part in PARTS.items():
        names = {field.name for field in dataclasses.fields(part)} & left.keys()
        try:
            own = {field: left.pop(field) for field in names}
            parts[name] = dataclasses.replace(getattr(config, name), **own)
        except ValueError as error:
            problems.append(str(error))
    if "train" not in parts and "validate_every" in left:
        # The range of `validate_every` depends on the number of steps, which is unknown here.
        left["validate_every"] = min(left["validate_every"], config.train.total_steps)
    try:
        config = dataclasses.replace(config, **parts, **left)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return config
