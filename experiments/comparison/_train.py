"""Trains the hash layer of a rival on cached features."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from experiments.baselines import Rival
from hashnet_jax.data.pipeline import batch_positions, check_batch_size
from hashnet_jax.training import (
    FeatureScale,
    HashLayer,
    LayerLoss,
    TrainSpec,
    initial_layer,
    train_layers,
)

_NORM_EPSILON = 1e-5  # as in torch's BatchNorm


def train(
    rival: Rival,
    features: Float[np.ndarray, "N D"],
    labels: Float[np.ndarray, "N C"],
    *,
    bits: int,
    spec: TrainSpec,
    rate: float,
    batch_size: int,
    seed: int,
    standardize: bool = False,
) -> HashLayer:
    """Trains a hash layer, and the method's other weights, with Nesterov SGD.

    Batch t is the same for all methods: it depends only on the seed and t. The learning rate can
    change without recompiling.

    Args:
      rival: the method to train.
      features: features of the training images.
      labels: multi-hot labels of the training images.
      bits: K, the number of bits per code.
      spec: number of steps, momentum, weight decay and stages of the learning rate; its learning
        rates are not used.
      rate: initial learning rate of the hash layer and of the method's own weights.
      batch_size: number of images per batch.
      seed: seed for the method's random choices and the data order.
      standardize: whether to train on features of mean 0 and variance 1.

    Returns:
      The trained layer for the original features. It may not be finite if training diverged.

    Raises:
      ValueError: if the batch size does not fit the training images, or the method does not support
        the labels.
    """
    check_batch_size(batch_size, n_train=len(features))
    weights, state = rival.init(jax.random.fold_in(jax.random.key(seed), 1), labels, bits)
    order = [
        batch_positions(seed, t, n=len(features), batch_size=batch_size)
        for t in range(spec.total_steps)
    ]
    scale = FeatureScale.of(features) if standardize else None
    inputs = features if scale is None else scale.apply(features)
    loss = _OfNormalizedOutputs(rival.loss) if rival.batch_norm else rival.loss
    layers = train_layers(
        loss,
        initial_layer(inputs, labels, bits, spec=spec, seed=seed),
        weights,
        state,
        inputs,
        labels,
        np.stack(order),
        spec=spec,
        rates=np.array([rate], np.float32),
    )
    trained = HashLayer(layers.kernel[0], layers.bias[0])
    kernel, bias = _folded_norm(trained, inputs) if rival.batch_norm else trained
    return HashLayer(kernel, bias) if scale is None else HashLayer(*scale.fold(kernel, bias))


@dataclasses.dataclass(frozen=True)
class _OfNormalizedOutputs:
    """Normalizes the outputs over the batch first, as batch normalization does in training."""

    loss: LayerLoss

    def __call__(
        self, weights: Any, outputs: Any, labels: Any, indices: Any, state: Any, step: Any
    ) -> tuple[Any, Any]:
        outputs = jax.nn.standardize(outputs, axis=0, epsilon=_NORM_EPSILON)
        return self.loss(weights, outputs, labels, indices, state, step)


def _folded_norm(layer: HashLayer, features: Float[np.ndarray, "N D"]) -> HashLayer:
    """Returns the layer followed by a normalization with the statistics of its outputs."""
    outputs = layer.logits(features)
    std = np.sqrt(outputs.var(axis=0) + _NORM_EPSILON)
    return HashLayer(layer.kernel / std[None], (layer.bias - outputs.mean(axis=0)) / std)
