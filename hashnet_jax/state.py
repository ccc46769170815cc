"""The train state: everything that a step changes, and the static spec that says how."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from hashnet_jax.model import HashNetParams, init
from hashnet_jax.optim import TrainSpec, beta_schedule, optimizer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree; ``beta == beta_schedule(spec)(step)`` always holds.

    Attributes:
      step: int32 scalar, steps taken.
      beta: float32 scalar, the beta of the next step.
      params: :class:`hashnet_jax.HashNetParams`.
      opt_state: of :func:`hashnet_jax.optim.optimizer`.
      key: a ``jax.random.key``; a step draws from it folded with ``step``.
      spec: the static :class:`hashnet_jax.optim.TrainSpec`.
    """

    step: jax.Array
    beta: jax.Array
    params: HashNetParams
    opt_state: Any
    key: jax.Array
    spec: TrainSpec = dataclasses.field(metadata={"static": True})


def init_state(key, model_spec, train_spec):
    """The state before the first step.

    Args:
      key: a ``jax.random.key``.
      model_spec: :class:`hashnet_jax.ModelSpec`.
      train_spec: :class:`hashnet_jax.optim.TrainSpec`.

    Returns:
      :class:`TrainState`.

    Examples:
      >>> from hashnet_jax import ModelSpec
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=100))
      >>> int(state.step), float(state.beta)
      (0, 1.0)
    """
    init_key, step_key = jax.random.split(key)
    params = init(init_key, model_spec)
    step = jnp.zeros((), jnp.int32)
    return TrainState(
        step=step,
        beta=jnp.asarray(beta_schedule(train_spec)(step), jnp.float32),
        params=params,
        opt_state=optimizer(train_spec).init(params.variables["params"]),
        key=step_key,
        spec=train_spec,
    )
