"""One training step: a pure function of state and batch, on one device or mapped over devices.

The loss covers all pairs in the *global* batch. Each device holds a share of the batch's rows and
compares their codes with the gathered codes of all rows. The loss is a ratio of two sums, each of
which is taken over all devices before the division. Averaging per-device losses would give a
different loss.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from hashnet_jax.codes import binarize, quantization_gap, relax
from hashnet_jax.losses import LOSSES, BatchLoss
from hashnet_jax.model import HashNetParams, normalize, training_logits
from hashnet_jax.training._optimizer import beta_schedule, optimizer
from hashnet_jax.training._spec import TrainSpec
from hashnet_jax.training._state import TrainState

Batch = Mapping[str, Shaped[Array | np.ndarray, "B ..."]]
Metrics = dict[str, Float[Array, ""]]


def train_step(
    state: TrainState, batch: Batch, *, axis_name: str | None = None
) -> tuple[TrainState, Metrics]:
    """Performs one training step: updates the parameters, and sets beta for the next step.

    Args:
      state: the train state, :class:`hashnet_jax.training.TrainState`.
      batch: ``{"image": ..., "label": ...}``. Images are ``[B, S, S, 3]``, either uint8, to
        be normalized here, or float and already normalized. If only the hash layer is trained,
        ``image`` contains features ``[B, D]``. Labels are class ids ``[B]`` or multi-hot
        ``[B, C]``. When mapped over devices, B is the number of images per device.
      axis_name: name of the mapped axis, if any.

    Returns:
      ``(state, metrics)``: the new state, and float32 scalars for the global batch: ``loss``,
      ``binary_loss`` (with sgn(z) in place of tanh(beta z)), ``quantization_gap``,
      ``similar_share`` (the fraction of pairs that are similar), ``constant_bits`` (the number of
      bits that are the same for all images), ``gradient_norm``, and this step's ``beta``.

    Examples:
      >>> from hashnet_jax import ModelSpec
      >>> from hashnet_jax.training import TrainSpec, init_state
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=100))
      >>> batch = {"image": jnp.ones((4, 8, 8, 3)), "label": jnp.array([0, 0, 1, 1])}
      >>> state, metrics = jax.jit(train_step)(state, batch)
      >>> int(state.step), sorted(metrics)[:2]
      (1, ['beta', 'binary_loss'])
    """
    spec = state.spec
    images = batch["image"]
    if images.dtype == jnp.uint8:
        images = normalize(images, state.params.spec)
    key = jax.random.fold_in(state.key, state.step)
    batch_loss = configured_loss(
        spec, batch["label"], bits=state.params.spec.bits, axis_name=axis_name
    )

    def device_loss(trained: Any) -> tuple[Float[Array, ""], tuple[Array, Array, Any]]:
        params = HashNetParams({**state.params.variables, "params": trained}, state.params.spec)
        z, batch_stats = training_logits(
            params, images, key=key, axis_name=axis_name, backbone_mode=spec.backbone_mode
        )
        codes = relax(z, state.beta)
        return batch_loss.share(codes), (z, codes, batch_stats)

    # Each device differentiates its share of the loss. The shares sum to the loss, so their
    # gradients sum to its gradient: the transpose of the gather adds the other devices'
    # contributions to the gradient with respect to this device's codes.
    (loss, (z, codes, batch_stats)), gradients = jax.value_and_grad(device_loss, has_aux=True)(
        state.params.variables["params"]
    )
    gradients = _sum_over_devices(gradients, axis_name)
    n_devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    metrics = {
        "loss": loss,
        "binary_loss": batch_loss.share(binarize(z).astype(jnp.float32)),
        "quantization_gap": quantization_gap(codes) / n_devices,
        "similar_share": batch_loss.similar_share / n_devices,
    }
    metrics = _sum_over_devices(metrics, axis_name)
    metrics |= {
        "constant_bits": _count_constant_bits(z, axis_name),
        "gradient_norm": optax.tree.norm(gradients),
        "beta": state.beta,
    }
    return _updated(state, gradients, batch_stats), metrics


def configured_loss(
    spec: TrainSpec,
    labels: Shaped[Array | np.ndarray, "B *C"],
    *,
    bits: int,
    axis_name: str | None = None,
) -> BatchLoss:
    """Builds the loss that ``spec`` selects, for the labels of a batch.

    Args:
      spec: the training hyperparameters, :class:`hashnet_jax.training.TrainSpec`.
      labels: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``.
      bits: K, which determines the slope of the logistic link if ``spec.alpha`` is None.
      axis_name: name of the mapped axis, if any.

    Returns:
      :class:`hashnet_jax.losses.BatchLoss`.

    Examples:
      >>> from hashnet_jax.training import TrainSpec
      >>> loss = configured_loss(TrainSpec(), jnp.array([0, 0, 1]), bits=2)
      >>> print(f"{loss.similar_share:.4f}")
      0.3333
    """
    return LOSSES[spec.loss](
        labels,
        alpha=spec.alpha if spec.alpha is not None else 10.0 / bits,
        offset=spec.offset,
        balance=spec.balance,
        continuous=spec.continuous_similarity,
        axis_name=axis_name,
    )


def _updated(state: TrainState, gradients: Any, batch_stats: Any) -> TrainState:
    """Returns the state after one optimizer update."""
    updates, opt_state = optimizer(state.spec, backbone=state.params.spec.backbone).update(
        gradients, state.opt_state, state.params.variables["params"]
    )
    trained = optax.apply_updates(state.params.variables["params"], updates)
    step = state.step + 1
    return dataclasses.replace(
        state,
        step=step,
        beta=jnp.asarray(beta_schedule(state.spec)(step), jnp.float32),
        params=HashNetParams({"batch_stats": batch_stats, "params": trained}, state.params.spec),
        opt_state=opt_state,
    )


def _count_constant_bits(z: Float[Array, "B K"], axis_name: str | None) -> Float[Array, ""]:
    """Counts the bits that are the same for all images of the global batch."""
    positive = z >= 0
    ones, images = _sum_over_devices((positive.sum(axis=0), len(z)), axis_name)
    return jnp.sum((ones == 0) | (ones == images)).astype(jnp.float32)


def _sum_over_devices(tree: Any, axis_name: str | None) -> Any:
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)
