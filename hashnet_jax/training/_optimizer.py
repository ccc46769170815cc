"""The schedules and optimizer defined by a TrainSpec."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from hashnet_jax.schedules import SCHEDULES, Schedule
from hashnet_jax.training._layer_decay import check_layer_decay, scale_by_layer
from hashnet_jax.training._spec import TrainSpec


def beta_schedule(spec: TrainSpec) -> Schedule:
    """Returns the continuation schedule, ``step -> beta``.

    Examples:
      >>> float(beta_schedule(TrainSpec(total_steps=100))(50))
      5.0990...
    """
    return SCHEDULES[spec.beta_schedule](total_steps=spec.total_steps)


def learning_rate_schedule(spec: TrainSpec, multiplier: float = 1.0) -> optax.Schedule:
    """Returns a step-decay learning rate schedule with ``decays`` stages of equal length.

    ``learning_rate * multiplier * decay_rate ** floor(step * decays / total_steps)``

    Args:
      spec: the training hyperparameters, :class:`TrainSpec`.
      multiplier: factor applied to the learning rate, > 0.

    Returns:
      A schedule ``step -> learning rate``.

    Raises:
      ValueError: if ``spec.learning_rate`` is None.

    Examples:
      >>> schedule = learning_rate_schedule(TrainSpec(total_steps=10_000, learning_rate=1e-3))
      >>> [f"{float(schedule(step)):.2e}" for step in (0, 1999, 2000, 9999)]
      ['1.00e-03', '1.00e-03', '5.00e-04', '6.25e-05']
    """
    if spec.learning_rate is None:
        raise ValueError(
            "`learning_rate` must be a number for training, got None. Set it, or find one with "
            "`search_learning_rate`."
        )
    return optax.exponential_decay(
        spec.learning_rate * multiplier,
        transition_steps=max(1, spec.total_steps // spec.decays),
        decay_rate=spec.decay_rate,
        staircase=True,
    )


def optimizer(spec: TrainSpec, *, backbone: str | None = None) -> optax.GradientTransformation:
    """Returns Nesterov SGD, with ``hash_multiplier`` times the learning rate for the hash layer.

    With ``layer_decay`` below 1, block i of a transformer with L blocks has ``layer_decay ** (L -
    i)`` times the learning rate, and its embeddings have ``layer_decay ** L`` times.

    Weight decay is added to the gradient before momentum, as in torch's SGD. With
    ``decay_target="initial"``, parameters decay towards the values passed to the optimizer's
    ``init``; see Li et al., "Explicit inductive bias for transfer learning with convolutional
    networks", ICML 2018.

    Args:
      spec: the training hyperparameters, :class:`TrainSpec`.
      backbone: name of the backbone in ``hashnet_jax.backbones.BACKBONES``; needed only if
        ``spec.layer_decay`` is below 1.

    Returns:
      An optimizer for ``params.variables["params"]``.

    Raises:
      ValueError: if ``layer_decay`` is below 1, and ``backbone`` is None or no transformer.

    Examples:
      >>> params = {"hash": jnp.ones(3)}
      >>> opt_state = optimizer(TrainSpec()).init(params)
    """

    def sgd(multiplier: float) -> optax.GradientTransformation:
        return optax.chain(
            _decay_towards_initial(spec.weight_decay)
            if spec.decay_target == "initial"
            else optax.add_decayed_weights(spec.weight_decay),
            optax.sgd(
                learning_rate_schedule(spec, multiplier), momentum=spec.momentum, nesterov=True
            ),
        )

    if spec.layer_decay == 1:
        backbone_sgd = sgd(1.0)
    elif backbone is None:
        raise ValueError(
            f"`layer_decay={spec.layer_decay}` requires the name of the backbone, got None."
        )
    else:
        check_layer_decay(spec, backbone=backbone)
        # The update is proportional to the learning rate, so it can be scaled in its place.
        by_layer = scale_by_layer(decay=spec.layer_decay, backbone=backbone)
        backbone_sgd = optax.chain(sgd(1.0), by_layer)

    def part_names(trained: dict[str, Any]) -> dict[str, str]:
        # With a frozen backbone, only the hash layer is trained, and there is no "backbone" key.
        return {name: name for name in trained}

    return optax.partition(
        {"backbone": backbone_sgd, "hash": sgd(spec.hash_multiplier)},
        part_names,
    )


def _decay_towards_initial(coefficient: float) -> optax.GradientTransformation:
    """Adds ``coefficient * (parameter - initial value)`` to each gradient."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        decayed = jax.tree.map(
            lambda update, now, start: update + coefficient * (now - start),
            updates,
            params,
            state,
        )
        return decayed, state

    # A copy, because the step donates the buffers of the parameters.
    return optax.GradientTransformation(lambda params: jax.tree.map(jnp.copy, params), update)
