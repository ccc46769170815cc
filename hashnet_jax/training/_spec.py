"""Static training hyperparameters: steps, rates, schedules and the loss."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import field

from hashnet_jax.losses import LOSSES
from hashnet_jax.schedules import SCHEDULES

BACKBONE_MODES = ("train", "inference")


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Training hyperparameters; hashable, and saved with the run.

    The defaults match the authors' PyTorch code at 10,000 steps; the step decay and the sqrt
    schedule scale with ``total_steps``.

    Attributes:
      total_steps: number of training steps, >= 1.
      learning_rate: initial learning rate for the backbone, > 0.
      hash_multiplier: ratio of the hash layer's learning rate to the backbone's, > 0.
      momentum: Nesterov momentum for SGD, in [0, 1).
      weight_decay: L2 coefficient, >= 0: this times each parameter, biases included, is added to
        its gradient.
      decay_rate: factor by which the learning rate changes from one stage to the next, in (0, 1].
      decays: number of stages of equal length, each with a constant learning rate, >= 1.
      alpha: slope of the logistic link, > 0; ``None`` for 10/K.
      balance: pair weights: ``"batch"``, ``"none"``, or a fixed weight > 0 for similar pairs; see
        :func:`hashnet_jax.losses.pair_weights`.
      continuous_similarity: whether to weight similar pairs of multi-label images by their Jaccard
        similarity (HashNet+C).
      beta_schedule: a name in ``hashnet_jax.schedules.SCHEDULES``.
      backbone_mode: ``"train"`` (batch statistics, dropout) or ``"inference"`` (frozen running
        statistics, no dropout).
      loss: a name in ``hashnet_jax.losses.LOSSES``.

    Raises:
      ValueError: if any value is out of range; the message has one line per value.

    Examples:
      >>> TrainSpec(total_steps=0, momentum=1.0)
      Traceback (most recent call last):
      ...
      ValueError: `total_steps` must be >= 1, got 0.
      `momentum` must be in [0, 1), got 1.0.
    """

    # Fields with a `help` become command-line options; see hashnet_jax.cli._options.
    total_steps: int = field(
        default=10_000,
        metadata={
            "help": "number of training steps; the schedules scale with it",
            "flag": "--steps",
            "metavar": "N",
        },
    )
    learning_rate: float = field(
        default=3e-4,
        metadata={"help": "initial learning rate for the backbone", "metavar": "RATE"},
    )
    hash_multiplier: float = field(
        default=10.0,
        metadata={
            "help": "ratio of the hash layer's learning rate to the backbone's",
            "metavar": "X",
            "group": "method",
        },
    )
    momentum: float = field(
        default=0.9,
        metadata={"help": "Nesterov momentum for SGD", "metavar": "X", "group": "method"},
    )
    weight_decay: float = field(
        default=5e-4,
        metadata={
            "help": "L2 coefficient: this times the parameter is added to its gradient",
            "metavar": "X",
            "group": "method",
        },
    )
    decay_rate: float = field(
        default=0.5,
        metadata={
            "help": "factor by which the learning rate changes from one stage to the next",
            "metavar": "X",
            "group": "method",
        },
    )
    decays: int = field(
        default=5,
        metadata={
            "help": "number of equally long stages with a constant learning rate",
            "metavar": "N",
            "group": "method",
        },
    )
    alpha: float | None = field(
        default=None,
        metadata={
            "help": "slope of the logistic link; auto means 10/K",
            "words": {"auto": None},
            "metavar": "X|auto",
            "group": "method",
        },
    )
    balance: str | float = field(
        default="batch",
        metadata={
            "help": "weights for similar and dissimilar pairs: by their counts in the batch, "
            "all 1, or a fixed weight for similar pairs",
            "words": {"batch": "batch", "none": "none"},
            "metavar": "batch|none|X",
            "group": "method",
        },
    )
    continuous_similarity: bool = field(
        default=False,
        metadata={
            "help": "weight similar pairs of multi-label images by Jaccard similarity",
            "group": "method",
        },
    )
    beta_schedule: str = field(
        default="sqrt",
        metadata={
            "help": "schedule for beta during the continuation",
            "choices": SCHEDULES.keys,
            "metavar": "NAME",
            "group": "method",
        },
    )
    backbone_mode: str = field(
        default="train",
        metadata={
            "help": "train uses batch statistics and dropout; inference, for pretrained weights, "
            "uses frozen running statistics and no dropout",
            "choices": lambda: BACKBONE_MODES,
            "group": "method",
        },
    )
    loss: str = field(
        default="hashnet",
        metadata={
            "help": "loss over the pairs in a batch",
            "choices": LOSSES.keys,
            "metavar": "NAME",
            "group": "method",
        },
    )

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        rules = {
            "total_steps": (self.total_steps >= 1, ">= 1"),
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "hash_multiplier": (self.hash_multiplier > 0, "> 0"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "weight_decay": (self.weight_decay >= 0, ">= 0"),
            "decay_rate": (0 < self.decay_rate <= 1, "in (0, 1]"),
            "decays": (self.decays >= 1, ">= 1"),
            "alpha": (self.alpha is None or self.alpha > 0, "> 0, or None for 10/K"),
            "balance": (_is_balance(self.balance), "'batch', 'none' or a number > 0"),
            "beta_schedule": (self.beta_schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            "backbone_mode": (
                self.backbone_mode in BACKBONE_MODES,
                f"one of {', '.join(BACKBONE_MODES)}",
            ),
            "loss": (self.loss in LOSSES, f"one of {', '.join(LOSSES)}"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                yield f"`{name}` must be {rule}, got {getattr(self, name)!r}."


def _is_balance(balance: str | float) -> bool:
    if isinstance(balance, str):
        return balance in ("batch", "none")
    return 0 < balance < math.inf
