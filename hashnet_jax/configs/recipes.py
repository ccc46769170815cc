"""Recipes for training: the paper's, one that gives better codes, and one for unseen classes.

A recipe sets the TrainSpec fields listed below. It can be combined with any variant of the method,
since variants set other fields; see :mod:`hashnet_jax.configs.variants`.

``improved`` departs from the paper in four fields, each of which improves MAP on both data sets
that were tried; see `docs/results.md`.

- ``alpha`` is 0.8/sqrt(K). The inner product of two unrelated codes has a standard deviation of
  sqrt(K), so the logits of unrelated pairs have the same standard deviation, 0.8, for all code
  lengths. The paper's ``alpha`` of 10/K saturates short codes: at 16 bits, this standard deviation
  is 2.5.
- ``offset`` is 0.1: a pair is as likely to be similar as dissimilar if the cosine of its codes is
  0.1. With an offset of 0, the loss pushes all dissimilar codes apart, beyond orthogonality. With K
  bits, this is impossible if there are many classes.
- ``standardize`` is True: the features of a frozen backbone have different scales, but SGD has one
  learning rate and one weight decay for all of them.
- ``weight_decay`` is ten times that of the ``paper`` recipe. Standardized features allow this.

``unseen`` is for images of classes that have no training images. It requires a frozen backbone, and
preserves more of the features' information about such classes, at the expense of the classes seen
in training. It departs from ``improved`` in three fields:

- ``hash_init`` is "lda-itq": discriminant directions, rotated by ITQ.
- ``decay_target`` is "initial": weight decay pulls the hash layer towards its initial values
  instead of 0.
- ``weight_decay`` is larger, so that the layer stays close to its initial values.
"""

import math
from collections.abc import Mapping
from typing import Any

# Standard deviation of the logit of a pair of unrelated codes.
_SPREAD = 0.8

_PAPER: Mapping[str, Any] = {
    "alpha": None,
    "offset": 0.0,
    "standardize": False,
    "hash_init": "normal",
    "decay_target": "zero",
}

# Fields that the recipes set only if the backbone is frozen.
_FROZEN: Mapping[str, Mapping[str, Any]] = {
    "paper": {"weight_decay": 5e-3},
    "improved": {"weight_decay": 0.05, "standardize": True},
    "unseen": {
        "weight_decay": 0.4,
        "standardize": True,
        "hash_init": "lda-itq",
        "decay_target": "initial",
    },
}

RECIPES = tuple(_FROZEN)


def recipe_fields(name: str, *, bits: int, frozen: bool) -> dict[str, Any]:
    """Returns the fields of TrainSpec that a recipe sets.

    Args:
      name: name of a recipe in ``RECIPES``.
      bits: K, the number of bits per code.
      frozen: whether the backbone is frozen.

    Raises:
      ValueError: if the recipe requires a frozen backbone, but the backbone is not frozen.

    Examples:
      >>> recipe_fields("paper", bits=16, frozen=False)["alpha"]
      >>> fields = recipe_fields("improved", bits=16, frozen=True)
      >>> fields["alpha"], fields["offset"], fields["standardize"], fields["weight_decay"]
      (0.2, 0.1, True, 0.05)
    """
    if name == "unseen" and not frozen:
        raise ValueError(
            "`recipe='unseen'` requires a frozen backbone. Set `freeze_backbone=True`, or use "
            "another recipe."
        )
    fields = dict(_PAPER)
    if name != "paper":
        fields |= {"alpha": round(_SPREAD / math.sqrt(bits), 4), "offset": 0.1}
    return fields | dict(_FROZEN[name] if frozen else {})


def default_recipe(*, frozen: bool) -> str:
    """Returns the recipe for runs that select neither a recipe nor a variant of the method."""
    return "improved" if frozen else "paper"
