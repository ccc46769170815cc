"""One step of training: a pure function of state and batch, on one device or mapped over several.

The loss is over the pairs of the *global* batch. Each device holds some rows: it compares its own
codes with the gathered codes of all, and the two sums are added over devices before they are
divided. The mean of per-device losses would be another loss.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import optax

from hashnet_jax import pair_blocks
from hashnet_jax.continuation import binarize, quantization_gap, relax
from hashnet_jax.losses import jaccard, pair_weights, pairwise_loss, similarity
from hashnet_jax.model import HashNetParams, training_logits
from hashnet_jax.optim import beta_schedule, optimizer
from hashnet_jax.pair_balance import kind_weights
from hashnet_jax.preprocess import normalize


def train_step(state, batch, *, axis_name=None):
    """One update of the parameters, then beta of the next step.

    Args:
      state: :class:`hashnet_jax.state.TrainState`.
      batch: ``{"image": ..., "label": ...}``: uint8 ``[B, S, S, 3]`` (normalised here) or float
        (already normalised); class ids ``[B]`` or multi-hot labels ``[B, C]``. Mapped over
        devices, B is the device's share of the global batch.
      axis_name: the mapped axis, if any.

    Returns:
      ``(state, metrics)``: the new state, and float32 scalars of the step over the global batch:
      ``loss``, ``binary_loss`` (the same with sgn(z) in place of tanh(beta z)),
      ``quantization_gap``, ``similar_share`` (of the pairs), ``gradient_norm`` and ``beta``.

    Examples:
      >>> from hashnet_jax import ModelSpec
      >>> from hashnet_jax.optim import TrainSpec
      >>> from hashnet_jax.state import init_state
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
    alpha = spec.alpha if spec.alpha is not None else 10.0 / state.params.spec.bits
    loss_sums, similar_share = _pairs(batch["label"], spec, alpha, axis_name)

    def batch_loss(codes):
        numerator, denominator = loss_sums(codes, _gather(codes, axis_name))
        # The weights come from the labels, so no gradient passes through the denominator.
        total = _sum_over_devices(jax.lax.stop_gradient(denominator), axis_name)
        return numerator / jnp.where(total > 0, total, 1.0)

    def device_loss(trained):
        params = HashNetParams({**state.params.variables, "params": trained}, state.params.spec)
        z, batch_stats = training_logits(
            params, images, key=key, axis_name=axis_name, backbone_mode=spec.backbone_mode
        )
        codes = relax(z, state.beta)
        return batch_loss(codes), (z, codes, batch_stats)

    # Each device differentiates its own rows' share of the loss; the gradients, like the shares,
    # add up to those of the whole (the gather's transpose brings the other devices' parts home).
    (loss, (z, codes, batch_stats)), gradients = jax.value_and_grad(device_loss, has_aux=True)(
        state.params.variables["params"]
    )
    gradients = _sum_over_devices(gradients, axis_name)
    n_devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    metrics = {
        "loss": loss,
        "binary_loss": batch_loss(binarize(z).astype(jnp.float32)),
        "quantization_gap": quantization_gap(codes) / n_devices,
        "similar_share": similar_share / n_devices,
    }
    metrics = _sum_over_devices(metrics, axis_name)
    metrics |= {"gradient_norm": optax.tree.norm(gradients), "beta": state.beta}

    updates, opt_state = optimizer(spec).update(
        gradients, state.opt_state, state.params.variables["params"]
    )
    trained = optax.apply_updates(state.params.variables["params"], updates)
    step = state.step + 1
    new_state = dataclasses.replace(
        state,
        step=step,
        beta=jnp.asarray(beta_schedule(spec)(step), jnp.float32),
        params=HashNetParams({"batch_stats": batch_stats, "params": trained}, state.params.spec),
        opt_state=opt_state,
    )
    return new_state, metrics


def _pairs(labels, spec, alpha, axis_name):
    """This device's rows against the global batch: ``(codes, all_codes) -> (numerator,
    denominator)``, and the share of similar pairs.

    Large batches take their pairs in blocks; the sizes are static, so one form is compiled.
    """
    all_labels = _gather(labels, axis_name)
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(labels)
    if len(labels) * len(all_labels) >= pair_blocks.LARGE:
        counts = pair_blocks.count_pairs(labels, all_labels, first_row=first, axis_name=axis_name)
        loss = partial(
            pair_blocks.pairwise_loss_blocks,
            labels_a=labels,
            labels_b=all_labels,
            alpha=alpha,
            weights=kind_weights(spec.balance, *counts),
            continuous=spec.continuous_similarity,
            first_row=first,
        )
        return loss, counts[0] / jnp.maximum(counts[0] + counts[1], 1)
    similar = similarity(labels, all_labels)
    row = first + jnp.arange(len(labels))
    # An image with itself says nothing about similarity, yet among 100 classes these pairs would
    # be about half of the similar ones.
    counted = row[:, None] != jnp.arange(len(all_labels))[None, :]
    weights = pair_weights(
        similar,
        balance=spec.balance,
        continuous=jaccard(labels, all_labels) if spec.continuous_similarity else None,
        counted=counted,
        axis_name=axis_name,
    )
    loss = partial(pairwise_loss, similar=similar, alpha=alpha, weights=weights)
    return loss, jnp.sum(similar & counted) / jnp.maximum(jnp.sum(counted), 1)


def _gather(rows, axis_name):
    return rows if axis_name is None else jax.lax.all_gather(rows, axis_name, tiled=True)


def _sum_over_devices(tree, axis_name):
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)
