"""Trains a linear hash layer on cached features, as one compiled program."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from experiments.baselines import Rival
from hashnet_jax.data.pipeline import batch_positions, check_batch_size
from hashnet_jax.training import FeatureScale, TrainSpec, optimizer

_NORM_EPSILON = 1e-5  # as in torch's BatchNorm


class HashLayer(NamedTuple):
    """A linear hash layer, with everything folded in that was done to its inputs and outputs.

    Attributes:
      kernel: ``[D, K]``.
      bias: ``[K]``.
    """

    kernel: Float[np.ndarray | Array, "D K"]
    bias: Float[np.ndarray | Array, " K"]

    def logits(self, features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        """Returns the logits, whose signs are the codes."""
        return features @ self.kernel + self.bias


def initial_layer(seed: int, features: int, bits: int) -> HashLayer:
    """Draws the hash layer that all methods start from: weights from N(0, 0.01²), biases 0."""
    kernel = 0.01 * jax.random.normal(jax.random.key(seed), (features, bits))
    return HashLayer(kernel, jnp.zeros(bits))


def rate_unit(features: Float[np.ndarray, "N D"], *, standardize: bool = False) -> float:
    """Returns the unit of learning rates: 1 / mean squared norm of what the hash layer sees.

    A step with this rate changes an image's output by about minus the gradient with respect to that
    output, whatever the number and scale of the features.

    Args:
      features: features of the training images.
      standardize: whether the layer is trained on features of mean 0 and variance 1.
    """
    if standardize:
        return 1 / np.count_nonzero(features.std(axis=0))
    return 1 / float(np.mean(np.sum(np.square(features, dtype=np.float64), axis=1)))


def train(
    rival: Rival,
    features: Float[np.ndarray, "N D"],
    labels: Float[np.ndarray, "N C"],
    layer: HashLayer,
    *,
    spec: TrainSpec,
    rate: float,
    batch_size: int,
    seed: int,
    standardize: bool = False,
) -> HashLayer:
    """Trains a hash layer, and whatever else the method trains, with Nesterov SGD.

    Batch t is the same for all methods: it depends only on the seed and t. The learning rate can
    change without another compilation.

    Args:
      rival: the method.
      features: features of the training images.
      labels: multi-hot labels of the training images.
      layer: from :func:`initial_layer`.
      spec: number of steps, momentum, weight decay and stages of the learning rate; its learning
        rates are not used.
      rate: initial learning rate of the hash layer and of the method's own weights.
      batch_size: images per batch.
      seed: seed for the method's random choices and the data order.
      standardize: whether to train on features of mean 0 and variance 1.

    Returns:
      The trained layer for the original features. It may not be finite if training diverged.

    Raises:
      ValueError: if the batch size does not fit the training images, or the method does not support
        the labels.
    """
    check_batch_size(batch_size, n_train=len(features))
    weights, state = rival.init(
        jax.random.fold_in(jax.random.key(seed), 1), labels, layer.bias.shape[0]
    )
    order = [
        batch_positions(seed, t, n=len(features), batch_size=batch_size)
        for t in range(spec.total_steps)
    ]
    scale = FeatureScale.of(features) if standardize else None
    inputs = features if scale is None else scale.apply(features)
    trained = _trained(rival, spec, layer, weights, state, inputs, labels, np.stack(order), rate)
    kernel, bias = map(np.asarray, _folded_norm(trained, inputs) if rival.batch_norm else trained)
    return HashLayer(kernel, bias) if scale is None else HashLayer(*scale.fold(kernel, bias))


@functools.partial(jax.jit, static_argnames=("rival", "spec"))
def _trained(
    rival: Rival,
    spec: TrainSpec,
    layer: HashLayer,
    weights: Any,
    state: Any,
    features: Float[Array, "N D"],
    labels: Float[Array, "N C"],
    order: Int[Array, "T B"],
    rate: float,
) -> HashLayer:
    # Momentum does not depend on the learning rate, so updates for a rate of 1 can be multiplied.
    sgd = optimizer(dataclasses.replace(spec, learning_rate=1.0, hash_multiplier=1.0))

    def loss(trained: Any, step: Any, positions: Any, state: Any) -> tuple[Any, Any]:
        layer, weights = trained["hash"]
        outputs = features[positions] @ layer.kernel + layer.bias[None]
        if rival.batch_norm:
            outputs = jax.nn.standardize(outputs, axis=0, epsilon=_NORM_EPSILON)
        return rival.loss(weights, outputs, labels[positions], positions, state, step)

    def update(carry: Any, batch: Any) -> tuple[Any, None]:
        trained, opt_state, state = carry
        gradients, state = jax.grad(loss, has_aux=True)(trained, *batch, state)
        updates, opt_state = sgd.update(gradients, opt_state, trained)
        updates = jax.tree.map(lambda each: rate * each, updates)
        return (optax.apply_updates(trained, updates), opt_state, state), None

    trained = {"hash": (layer, weights)}
    start = (trained, sgd.init(trained), state)
    (trained, _, _), _ = jax.lax.scan(update, start, (jnp.arange(len(order)), order))
    return trained["hash"][0]


def _folded_norm(layer: HashLayer, features: Float[np.ndarray, "N D"]) -> HashLayer:
    """Returns the layer followed by a normalization with the statistics of its outputs."""
    outputs = HashLayer(*map(np.asarray, layer)).logits(features)
    std = np.sqrt(outputs.var(axis=0) + _NORM_EPSILON)
    return HashLayer(layer.kernel / std[None], (layer.bias - outputs.mean(axis=0)) / std)
