"""What is static about training: TrainSpec, and the schedules and optimiser that follow from it."""

import dataclasses

import optax

from hashnet_jax.continuation import sqrt_schedule, stage_schedule


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """How a network is trained: hashable, and saved with the run.

    The defaults are those of the authors' PyTorch code for 10,000 steps; the step decay and the
    sqrt schedule stretch with ``total_steps``.

    Attributes:
      total_steps: steps of the run, >= 1.
      learning_rate: of the backbone at the start, > 0.
      hash_multiplier: the hash layer learns this much faster than the backbone.
      momentum: of SGD with Nesterov's momentum, in [0, 1).
      weight_decay: added to the gradient as weight_decay * parameter, biases included.
      decay_rate: the learning rate is multiplied by this ...
      decays: ... this many times minus one, at equal distances over the run, >= 1.
      alpha: slope of the logistic link; ``None`` is 10/K.
      balance: ``"batch"``, ``"none"`` or the fixed weight of a similar pair; see
        :func:`hashnet_jax.losses.pair_weights`.
      continuous_similarity: weigh similar pairs of multi-label images by Jaccard (HashNet+C).
      beta_schedule: a name in ``BETA_SCHEDULES``.
      backbone_mode: in which the backbone learns: ``"train"`` (statistics of the batch, dropout) or
        ``"inference"`` (running statistics, which stay as they are, and no dropout).

    Raises:
      ValueError: for a value out of range.

    Examples:
      >>> TrainSpec(total_steps=0)
      Traceback (most recent call last):
      ...
      ValueError: total_steps must be >= 1, got 0.
    """

    total_steps: int = 10_000
    learning_rate: float = 3e-4
    hash_multiplier: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_rate: float = 0.5
    decays: int = 5
    alpha: float | None = None
    balance: str | float = "batch"
    continuous_similarity: bool = False
    beta_schedule: str = "sqrt"
    backbone_mode: str = "train"

    def __post_init__(self):
        bounds = {
            "total_steps": (self.total_steps >= 1, ">= 1"),
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "hash_multiplier": (self.hash_multiplier > 0, "> 0"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "weight_decay": (self.weight_decay >= 0, ">= 0"),
            "decay_rate": (0 < self.decay_rate <= 1, "in (0, 1]"),
            "decays": (self.decays >= 1, ">= 1"),
            "alpha": (self.alpha is None or self.alpha > 0, "> 0, or None for 10/K"),
            "beta_schedule": (
                self.beta_schedule in BETA_SCHEDULES,
                f"one of {', '.join(BETA_SCHEDULES)}",
            ),
            "backbone_mode": (
                self.backbone_mode in BACKBONE_MODES,
                f"one of {', '.join(BACKBONE_MODES)}",
            ),
        }
        for name, (holds, rule) in bounds.items():
            if not holds:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)!r}.")


BACKBONE_MODES = ("train", "inference")

BETA_SCHEDULES = {
    # The authors' code.
    "sqrt": lambda spec: sqrt_schedule(total_steps=spec.total_steps),
    # The paper's algorithm 1.
    "stages": lambda spec: stage_schedule(total_steps=spec.total_steps),
    # No continuation: the ablation HashNet-sgn.
    "constant": lambda spec: optax.constant_schedule(1.0),
}


def beta_schedule(spec):
    """The schedule ``step -> beta`` that ``spec`` names.

    Examples:
      >>> float(beta_schedule(TrainSpec(total_steps=100))(50))
      5.0990...
    """
    return BETA_SCHEDULES[spec.beta_schedule](spec)


def learning_rate_schedule(spec, multiplier=1.0):
    """Step decay: ``learning_rate * multiplier * decay_rate ** floor(step * decays / total)``.

    Examples:
      >>> schedule = learning_rate_schedule(TrainSpec(total_steps=10_000, learning_rate=1e-3))
      >>> [f"{float(schedule(step)):.2e}" for step in (0, 1999, 2000, 9999)]
      ['1.00e-03', '1.00e-03', '5.00e-04', '6.25e-05']
    """
    return optax.exponential_decay(
        spec.learning_rate * multiplier,
        transition_steps=max(1, spec.total_steps // spec.decays),
        decay_rate=spec.decay_rate,
        staircase=True,
    )


def optimizer(spec):
    """SGD with Nesterov's momentum, the hash layer at ``hash_multiplier`` times the rate.

    Weight decay enters the gradient before the momentum, as in torch's SGD.

    Args:
      spec: :class:`TrainSpec`.

    Returns:
      An ``optax.GradientTransformation`` for ``params.variables["params"]``.
    """

    def sgd(multiplier):
        return optax.chain(
            optax.add_decayed_weights(spec.weight_decay),
            optax.sgd(
                learning_rate_schedule(spec, multiplier), momentum=spec.momentum, nesterov=True
            ),
        )

    return optax.partition(
        {"backbone": sgd(1.0), "hash": sgd(spec.hash_multiplier)},
        # What a frozen backbone leaves to be trained has no "backbone".
        lambda trained: {name: name for name in trained},
    )
