"""Two recipes for training: the paper's, and one that gives better codes.

A recipe sets the fields of TrainSpec below; :mod:`hashnet_jax.configs.variants` sets others, and
can be combined with both recipes.

``improved`` departs from the paper in four fields, each of which helps on both data sets that were
tried; see `docs/results.md`.

- ``alpha`` is 0.8/sqrt(K). The inner product of two unrelated codes has a standard deviation of
  sqrt(K), so their logits have the same spread for all code lengths. The paper's 10/K saturates
  short codes: at 16 bits, this spread is 2.5.
- ``offset``: a pair is undecided at a cosine of 0.1. At 0, the loss pushes all dissimilar codes
  apart, beyond orthogonal. K bits cannot do this for many classes.
- ``standardize``: the features of a frozen backbone have different scales, but SGD has one learning
  rate and one weight decay for all of them.
- ``weight_decay`` is ten times as large, which standardized features allow.
"""

import math
from collections.abc import Mapping
from typing import Any

# Standard deviation of the logit of a pair of unrelated codes.
_SPREAD = 0.8

# What the recipes set only if the backbone is frozen.
_FROZEN: Mapping[str, Mapping[str, Any]] = {
    "paper": {"weight_decay": 5e-3},
    "improved": {"weight_decay": 0.05, "standardize": True},
}

RECIPES = tuple(_FROZEN)


def recipe_fields(name: str, *, bits: int, frozen: bool) -> dict[str, Any]:
    """Returns the fields of TrainSpec that a recipe sets.

    Args:
      name: a name in ``RECIPES``.
      bits: K, the number of bits per code.
      frozen: whether the backbone is frozen.

    Examples:
      >>> recipe_fields("paper", bits=16, frozen=False)
      {'alpha': None, 'offset': 0.0, 'standardize': False}
      >>> recipe_fields("improved", bits=16, frozen=True)
      {'alpha': 0.2, 'offset': 0.1, 'standardize': True, 'weight_decay': 0.05}
    """
    fields: dict[str, Any] = {"alpha": None, "offset": 0.0, "standardize": False}
    if name == "improved":
        fields |= {"alpha": round(_SPREAD / math.sqrt(bits), 4), "offset": 0.1}
    return fields | dict(_FROZEN[name] if frozen else {})


def default_recipe(*, frozen: bool) -> str:
    """Returns the recipe of runs that select neither a recipe nor a variant of the paper."""
    return "improved" if frozen else "paper"
