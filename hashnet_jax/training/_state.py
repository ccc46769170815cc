"""The train state: everything a step changes, and the static spec."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from hashnet_jax.model import HashNetParams, ModelSpec, hash_layer, init
from hashnet_jax.training._hash_layer import HashLayer
from hashnet_jax.training._optimizer import beta_schedule, optimizer
from hashnet_jax.training._spec import TrainSpec


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The training state, a pytree; ``beta`` always equals ``beta_schedule(spec)(step)``.

    Attributes:
      step: int32 scalar, number of steps taken.
      beta: float32 scalar, beta for the next step.
      params: the network, :class:`hashnet_jax.HashNetParams`.
      opt_state: state of :func:`hashnet_jax.training.optimizer`.
      key: a ``jax.random.key``, from which each step derives its own key.
      spec: the static :class:`hashnet_jax.training.TrainSpec`.
    """

    step: Int[Array, ""]
    beta: Float[Array, ""]
    params: HashNetParams
    opt_state: Any
    key: Key[Array, ""]
    spec: TrainSpec = dataclasses.field(metadata={"static": True})


def init_state(
    key: Key[Array, ""],
    model_spec: ModelSpec,
    train_spec: TrainSpec,
    *,
    initialize: Callable[[Key[Array, ""], ModelSpec], HashNetParams] = init,
) -> TrainState:
    """Returns the initial state, by default with random weights.

    Args:
      key: a ``jax.random.key`` for the random weights.
      model_spec: the network's spec, :class:`hashnet_jax.ModelSpec`.
      train_spec: the training hyperparameters, :class:`hashnet_jax.training.TrainSpec`.
      initialize: function ``(key, model_spec) -> params`` that returns the initial network.

    Returns:
      :class:`TrainState`.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=100))
      >>> int(state.step), float(state.beta)
      (0, 1.0)
    """
    init_key, step_key = jax.random.split(key)
    params = initialize(init_key, model_spec)
    step = jnp.zeros((), jnp.int32)
    state_optimizer = optimizer(train_spec, backbone=model_spec.backbone)
    return TrainState(
        step=step,
        beta=jnp.asarray(beta_schedule(train_spec)(step), jnp.float32),
        params=params,
        opt_state=state_optimizer.init(params.variables["params"]),
        key=step_key,
        spec=train_spec,
    )


def hash_layer_state(state: TrainState, layer: HashLayer | None = None) -> TrainState:
    """Returns the initial state for training only the hash layer.

    Args:
      state: the whole network's initial state.
      layer: the initial hash layer; None to use the one in ``state``.

    Returns:
      :class:`TrainState` with the params returned by :func:`hashnet_jax.model.hash_layer`.

    Raises:
      ValueError: if ``state.spec.layer_decay`` is below 1, since no block is trained.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=100))
      >>> list(hash_layer_state(state).params.variables["params"])
      ['hash']
    """
    if state.spec.layer_decay != 1:
        raise ValueError(
            f"`layer_decay` must be 1 if only the hash layer is trained, got "
            f"{state.spec.layer_decay}. Leave it out, or train the whole network."
        )
    params = hash_layer(state.params)
    if layer is not None:
        initial = {"kernel": jnp.asarray(layer.kernel), "bias": jnp.asarray(layer.bias)}
        variables = {**params.variables, "params": {"hash": initial}}
        params = dataclasses.replace(params, variables=variables)
    state_optimizer = optimizer(state.spec, backbone=params.spec.backbone)
    opt_state = state_optimizer.init(params.variables["params"])
    return dataclasses.replace(state, params=params, opt_state=opt_state)
