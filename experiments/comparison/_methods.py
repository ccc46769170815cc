"""The methods that can be compared: HashNet's recipes, the rivals and the baselines."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float, Key

from experiments.baselines import BASELINES, RIVALS, Rival
from hashnet_jax.configs import VARIANTS, recipe_fields
from hashnet_jax.training import HashNetLoss, TrainSpec

# HashNet's recipes, keyed by the name of the method.
RECIPES = {"hashnet": "paper", "hashnet-improved": "improved", "hashnet-unseen": "unseen"}

# Compared by default only if the queries are from classes without training images.
FOR_UNSEEN = ("hashnet-unseen",)

# Methods whose features are first standardized to mean 0 and variance 1 over the training images.
STANDARDIZED = "-standardized"

# The reference, which uses the features instead of codes.
COSINE = "cosine"

# Initial learning rates, from which the best on validation images is chosen. Their unit is
# `training.rate_unit`, so they do not depend on the number and scale of the features. There are
# five rates for each method, around the best of a search on held-out training images of a miniature
# ImageNet-100.
RATES: dict[str, tuple[float, ...]] = {
    "hashnet": (2, 4, 8, 16, 32),
    "hashnet-improved": (8, 16, 32, 64, 128),
    "hashnet-unseen": (2, 4, 8, 16, 32),
    "dhn": (0.125, 0.5, 2, 8, 32),
    "dpsh": (0.125, 0.5, 2, 8, 32),
    "csq": (8, 32, 128, 512, 2048),
    "orthohash": (0.125, 0.25, 0.5, 1, 2),
    "greedyhash": (4, 8, 16, 32, 64),
}

# Weight decay of the rivals: the best of 0, 5e-4 and 5e-3 in the same search. HashNet's weight
# decay, 5e-3, would cost CSQ several points of MAP.
WEIGHT_DECAY = {"csq": 0.0}
_RIVAL_WEIGHT_DECAY = 5e-4
# For methods without their own rates, e.g. rivals registered by a user.
_OTHER_RATES = (0.5, 4, 32, 256, 2048)


@dataclasses.dataclass(frozen=True)
class Method:
    """A method that trains the hash layer, with its settings.

    Attributes:
      rival: the loss and other parts of the method.
      spec: the method's training hyperparameters, except for the learning rates, which are not
        used.
      standardize: whether the method is trained on standardized features.
    """

    rival: Rival
    spec: TrainSpec
    standardize: bool = False


def names() -> list[str]:
    """Returns the names of all methods."""
    learned = [*RECIPES, *RIVALS]
    # The other recipes always standardize.
    variable = [name for name in learned if RECIPES.get(name, "paper") == "paper"]
    return [*learned, *(name + STANDARDIZED for name in variable), *BASELINES, COSINE]


def default_names(*, one_class: bool, unseen: bool) -> list[str]:
    """Returns the methods to compare by default.

    Args:
      one_class: whether all images have exactly one class.
      unseen: whether the queries and the database are from classes without training images.
    """
    recipes = [name for name in RECIPES if unseen or name not in FOR_UNSEEN]
    rivals = [name for name, rival in RIVALS.items() if one_class or not rival.one_class]
    return [*recipes, *rivals, *BASELINES, COSINE]


def is_learned(name: str) -> bool:
    """Returns whether a method trains the hash layer with labels."""
    return name not in BASELINES and name != COSINE


def rates_of(name: str) -> tuple[float, ...]:
    """Returns the learning rates to choose from, for a method that :func:`is_learned`."""
    return RATES.get(name.removesuffix(STANDARDIZED), _OTHER_RATES)


def method(name: str, spec: TrainSpec, bits: int) -> Method:
    """Returns a learned method.

    Args:
      name: one of :func:`names` for which :func:`is_learned` is true.
      spec: hyperparameters that all methods share, except for the weight decay.
      bits: K, the number of bits per code.
    """
    base = name.removesuffix(STANDARDIZED)
    if base in RECIPES:
        fields = recipe_fields(RECIPES[base], bits=bits, frozen=True) | VARIANTS["hashnet"]
        spec = dataclasses.replace(spec, **fields)
        return Method(hashnet(spec), spec, spec.standardize or base != name)
    decay = WEIGHT_DECAY.get(base, _RIVAL_WEIGHT_DECAY)
    return Method(RIVALS[base], dataclasses.replace(spec, weight_decay=decay), base != name)


def hashnet(spec: TrainSpec) -> Rival:
    """Returns HashNet as a :class:`Rival`, with the loss and the continuation of ``spec``."""
    return Rival(_no_weights, HashNetLoss(spec))


def _no_weights(
    key: Key[Array, ""], labels: Float[np.ndarray, "N C"], bits: int
) -> tuple[tuple[()], tuple[()]]:
    return (), ()


def check_names(chosen: Sequence[str], *, one_class: bool) -> None:
    """Raises a ValueError if a chosen method does not support images with several classes."""
    for name in chosen:
        rival = RIVALS.get(name.removesuffix(STANDARDIZED))
        if rival is not None and rival.one_class and not one_class:
            raise ValueError(
                f"{name} is defined only for images with exactly one class, but this data set has "
                "images with several. Leave it out of --methods."
            )
