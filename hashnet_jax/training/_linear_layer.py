"""Trains a linear hash layer on cached features, as one compiled program for all steps.

The learning rate is an argument of the program. Several rates can therefore be tried at once,
without recompiling.
"""

import dataclasses
import functools
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from hashnet_jax.codes import relax
from hashnet_jax.training._hash_layer import HashLayer
from hashnet_jax.training._optimizer import beta_schedule, optimizer
from hashnet_jax.training._spec import TrainSpec
from hashnet_jax.training._step import configured_loss


@runtime_checkable
class LayerLoss(Protocol):
    """A hashable function that computes the loss of a batch."""

    def __call__(
        self,
        weights: Any,
        outputs: Float[Array, "B K"],
        labels: Float[Array, "B C"],
        indices: Int[Array, " B"],
        state: Any,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Any]:
        """Returns the loss and the new state.

        Args:
          weights: weights that are trained together with the layer.
          outputs: outputs of the layer, whose signs are the codes.
          labels: labels of the batch.
          indices: positions of the batch's images among the training images.
          state: the state before this step.
          step: number of steps taken so far.

        Returns:
          ``(loss, state)``. No gradient passes through the state.
        """
        ...


@dataclasses.dataclass(frozen=True)
class HashNetLoss:
    """HashNet's loss as a :class:`LayerLoss`, configured by ``spec``, without trainable weights."""

    spec: TrainSpec

    def __call__(
        self,
        weights: Any,
        outputs: Float[Array, "B K"],
        labels: Shaped[Array, "B *C"],
        indices: Int[Array, " B"],
        state: Any,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Any]:
        batch_loss = configured_loss(self.spec, labels, bits=outputs.shape[1])
        beta = jnp.asarray(beta_schedule(self.spec)(step), jnp.float32)
        return batch_loss.share(relax(outputs, beta)), state


def rate_unit(features: Float[np.ndarray, "N D"], *, standardize: bool = False) -> float:
    """Returns 1 / mean squared norm of the hash layer's inputs, the natural unit of learning rates.

    A step with this rate changes an image's output by about minus the gradient with respect to that
    output, regardless of the number and scale of the features.

    Args:
      features: features of the training images.
      standardize: whether the layer is trained on features with mean 0 and variance 1.

    Raises:
      ValueError: if the layer's inputs are 0 for all images.

    Examples:
      >>> rate_unit(np.array([[2.0, 0.0], [0.0, 2.0]]))
      0.25
    """
    if standardize:
        squared_norm = float(np.count_nonzero(features.std(axis=0)))
    else:
        squared_norm = float(np.mean(np.sum(np.square(features, dtype=np.float64), axis=1)))
    if squared_norm == 0:
        raise ValueError(
            f"the features of the training images are all {'the same' if standardize else '0'}, so "
            "a hash layer cannot learn from them. Check the images and the weights of the backbone."
        )
    return 1 / squared_norm


def train_layers(
    loss: LayerLoss,
    layer: HashLayer,
    weights: Any,
    state: Any,
    features: Float[np.ndarray, "N D"],
    labels: Shaped[np.ndarray, "N *C"],
    order: Int[np.ndarray, "T B"],
    *,
    spec: TrainSpec,
    rates: Float[np.ndarray, " R"],
) -> HashLayer:
    """Trains one hash layer per learning rate with Nesterov SGD, all on the same batches.

    Args:
      loss: the loss of a batch.
      layer: the initial layer.
      weights: other weights to train, as a pytree; ``()`` for none.
      state: the initial state of the loss; ``()`` for none.
      features: features of the training images.
      labels: labels of the training images, in the format that the loss expects.
      order: rows of ``features`` that form each batch, int ``[T, B]`` for T steps.
      spec: sets the momentum, weight decay and learning-rate schedule; its ``learning_rate`` and
        ``hash_multiplier`` are not used.
      rates: R initial learning rates, one per layer.

    Returns:
      The trained layers, stacked along a leading axis of length R. A layer whose training
      diverged contains NaN or infinity.
    """
    return HashLayer(
        *map(
            np.asarray, _trained(loss, spec, layer, weights, state, features, labels, order, rates)
        )
    )


@functools.partial(jax.jit, static_argnames=("loss", "spec"))
def _trained(
    loss: LayerLoss,
    spec: TrainSpec,
    layer: HashLayer,
    weights: Any,
    state: Any,
    features: Float[Array, "N D"],
    labels: Shaped[Array, "N *C"],
    order: Int[Array, "T B"],
    rates: Float[Array, " R"],
) -> HashLayer:
    # Momentum does not depend on the learning rate, so updates for a rate of 1 can be rescaled.
    sgd = optimizer(dataclasses.replace(spec, learning_rate=1.0, hash_multiplier=1.0))

    def batch_loss(trained: Any, step: Any, positions: Any, state: Any) -> tuple[Any, Any]:
        layer, weights = trained["hash"]
        outputs = features[positions] @ layer.kernel + layer.bias[None]
        return loss(weights, outputs, labels[positions], positions, state, step)

    def update(carry: Any, batch: Any, rate: Any) -> Any:
        trained, opt_state, state = carry
        gradients, state = jax.grad(batch_loss, has_aux=True)(trained, *batch, state)
        updates, opt_state = sgd.update(gradients, opt_state, trained)
        updates = jax.tree.map(lambda each: rate * each, updates)
        return optax.apply_updates(trained, updates), opt_state, state

    def one(rate: Float[Array, ""]) -> HashLayer:
        trained = {"hash": (layer, weights)}
        start = (trained, sgd.init(trained), state)
        steps = (jnp.arange(len(order)), order)
        (trained, _, _), _ = jax.lax.scan(
            lambda carry, batch: (update(carry, batch, rate), None), start, steps
        )
        return trained["hash"][0]

    return jax.vmap(one)(rates)
