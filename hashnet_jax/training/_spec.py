"""Static training hyperparameters: steps, learning rates, schedules and the loss."""

import dataclasses
import math
import numbers
from collections.abc import Collection, Iterator
from dataclasses import field
from typing import Any

from hashnet_jax.losses import LOSSES
from hashnet_jax.schedules import SCHEDULES

BACKBONE_MODES = ("train", "inference")
HASH_INITS = ("normal", "lda-itq")
DECAY_TARGETS = ("zero", "initial")


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Training hyperparameters; hashable, and saved with the run.

    The defaults match the authors' PyTorch code at 10,000 steps; the step decay and the sqrt
    schedule scale with ``total_steps``.

    Attributes:
      total_steps: number of training steps, >= 1.
      learning_rate: initial learning rate for the backbone, > 0; ``None`` if it has not been found
        yet, see :func:`hashnet_jax.training.search_learning_rate`.
      hash_multiplier: ratio of the hash layer's learning rate to the backbone's, > 0.
      layer_decay: ratio of the learning rates of successive blocks of a transformer, in (0, 1];
        block i of L has ``layer_decay ** (L - i)`` times the backbone's learning rate.
      momentum: Nesterov momentum for SGD, in [0, 1).
      weight_decay: L2 coefficient, >= 0; ``weight_decay * (parameter - target)`` is added to the
        gradient of every parameter, including biases.
      decay_target: values towards which weight decay pulls the parameters: ``"zero"``, or their
        ``"initial"`` values.
      hash_init: initial hash layer: ``"normal"`` (weights from N(0, 0.01²), biases 0), or
        ``"lda-itq"``, which requires a frozen backbone; see
        :func:`hashnet_jax.training.lda_itq_layer`.
      decay_rate: factor applied to the learning rate after each stage, in (0, 1].
      decays: number of stages of equal length, each with a constant learning rate, >= 1.
      alpha: slope of the logistic link, > 0; ``None`` for 10/K.
      offset: cosine of two codes at which a pair is as likely to be similar as dissimilar, in
        (-1, 1); see :func:`hashnet_jax.losses.pairwise_loss`.
      standardize: whether to train the hash layer on features with mean 0 and standard deviation 1
        over the training images; requires a frozen backbone.
      balance: pair weights: ``"batch"``, ``"none"``, or a fixed weight > 0 for similar pairs; see
        :func:`hashnet_jax.losses.pair_weights`.
      continuous_similarity: whether to weight similar pairs of multi-label images by their Jaccard
        similarity (HashNet+C).
      beta_schedule: name of a schedule in ``hashnet_jax.schedules.SCHEDULES``.
      backbone_mode: ``"train"`` (batch statistics, dropout) or ``"inference"`` (frozen running
        statistics, no dropout).
      loss: name of a loss in ``hashnet_jax.losses.LOSSES``.

    Raises:
      ValueError: if any value is out of range; the message has one line per invalid value.

    Examples:
      >>> TrainSpec(total_steps=0, momentum=1.0)
      Traceback (most recent call last):
      ...
      ValueError: `total_steps` must be an integer >= 1, got 0.
      `momentum` must be in [0, 1), got 1.0.
    """

    # Fields with `help` become command-line options (see hashnet_jax.cli._options).
    total_steps: int = field(
        default=10_000,
        metadata={
            "help": "number of training steps; the schedules scale with it",
            "flag": "--steps",
            "metavar": "N",
        },
    )
    learning_rate: float | None = field(
        default=3e-4,
        metadata={
            "help": "initial learning rate for the backbone; auto, for a frozen backbone, finds it "
            "on validation images",
            "words": {"auto": None},
            "metavar": "RATE|auto",
        },
    )
    hash_multiplier: float = field(
        default=10.0,
        metadata={
            "help": "ratio of the hash layer's learning rate to the backbone's",
            "metavar": "X",
            "group": "method",
        },
    )
    layer_decay: float = field(
        default=1.0,
        metadata={
            "help": "ratio of the learning rates of successive blocks of a transformer; below 1, "
            "early blocks change less",
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
            "help": "L2 coefficient; coefficient * parameter is added to the gradient",
            "metavar": "X",
            "group": "method",
        },
    )
    decay_target: str = field(
        default="zero",
        metadata={
            "help": "values towards which weight decay pulls the parameters: zero or their "
            "initial values",
            "choices": lambda: DECAY_TARGETS,
            "group": "method",
        },
    )
    hash_init: str = field(
        default="normal",
        metadata={
            "help": "initial hash layer: random, or discriminant directions rotated by ITQ, for a "
            "frozen backbone",
            "choices": lambda: HASH_INITS,
            "group": "method",
        },
    )
    decay_rate: float = field(
        default=0.5,
        metadata={
            "help": "factor applied to the learning rate after each stage",
            "metavar": "X",
            "group": "method",
        },
    )
    decays: int = field(
        default=5,
        metadata={
            "help": "number of stages of equal length, each with a constant learning rate",
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
    offset: float = field(
        default=0.0,
        metadata={
            "help": "cosine of two codes at which a pair is as likely to be similar as dissimilar",
            "metavar": "X",
            "group": "method",
        },
    )
    standardize: bool = field(
        default=False,
        metadata={
            "help": "train the hash layer on standardized features of a frozen backbone",
            "group": "method",
        },
    )
    balance: str | float = field(
        default="batch",
        metadata={
            "help": "pair weights: based on the numbers of similar and dissimilar pairs in the "
            "batch, all 1, or a fixed weight for similar pairs",
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
            "help": "schedule for beta",
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
            "total_steps": (_is_count(self.total_steps), "an integer >= 1"),
            "learning_rate": (
                self.learning_rate is None or _is_positive(self.learning_rate),
                "> 0 and finite, or None if it has not been found yet",
            ),
            "hash_multiplier": (_is_positive(self.hash_multiplier), "> 0 and finite"),
            "layer_decay": (_is_positive(self.layer_decay) and self.layer_decay <= 1, "in (0, 1]"),
            "momentum": (_is_finite(self.momentum) and 0 <= self.momentum < 1, "in [0, 1)"),
            "weight_decay": (
                _is_finite(self.weight_decay) and self.weight_decay >= 0,
                ">= 0 and finite",
            ),
            "decay_target": _one_of(self.decay_target, DECAY_TARGETS),
            "hash_init": _one_of(self.hash_init, HASH_INITS),
            "decay_rate": (_is_positive(self.decay_rate) and self.decay_rate <= 1, "in (0, 1]"),
            "decays": (_is_count(self.decays), "an integer >= 1"),
            "alpha": (
                self.alpha is None or _is_positive(self.alpha),
                "> 0 and finite, or None to use 10/K",
            ),
            "offset": (_is_finite(self.offset) and -1 < self.offset < 1, "in (-1, 1)"),
            "standardize": (isinstance(self.standardize, bool), "True or False"),
            "balance": (
                self.balance in ("batch", "none") or _is_positive(self.balance),
                "'batch', 'none' or a finite number > 0",
            ),
            "continuous_similarity": (
                isinstance(self.continuous_similarity, bool),
                "True or False",
            ),
            "beta_schedule": _one_of(self.beta_schedule, SCHEDULES),
            "backbone_mode": _one_of(self.backbone_mode, BACKBONE_MODES),
            "loss": _one_of(self.loss, LOSSES),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                yield f"`{name}` must be {rule}, got {getattr(self, name)!r}."


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_finite(value) and value > 0


def _is_count(value: Any) -> bool:
    return _is_positive(value) and isinstance(value, numbers.Integral)


def _one_of(value: Any, names: Collection[str]) -> tuple[bool, str]:
    return isinstance(value, str) and value in names, f"one of {', '.join(names)}"
