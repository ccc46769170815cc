"""GreedyHash: classifies the binary codes themselves, with a straight-through gradient.

    L = -mean_i log softmax(W sgn(u_i))_{y_i} + alpha mean_ik ||u_ik| - 1|^3

In the gradient, sgn is the identity. The loss is defined only for images with exactly one class.

Reference: Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in
CNN", NeurIPS 2018. The paper sums the second term; the mean and alpha = 0.1 (for CIFAR-10) are from
the authors' code. The authors train the whole network; here, only the hash layer and the classifier
W are trained.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key


def init(
    key: Key[Array, ""], labels: Float[np.ndarray, "N C"], bits: int
) -> tuple[Float[Array, "C K"], tuple[()]]:
    """Returns the classifier, and no state; see :class:`experiments.baselines._registry.Init`.

    Raises:
      ValueError: if an image does not have exactly one class.
    """
    counts = labels.sum(axis=1)
    if (counts != 1).any():
        first = int(np.argmax(counts != 1))
        raise ValueError(
            "GreedyHash is defined only for images with exactly one class, but training image "
            f"{first} has {int(counts[first])}. Leave out greedyhash for this data set."
        )
    bound = bits**-0.5
    return jax.random.uniform(key, (labels.shape[1], bits), minval=-bound, maxval=bound), ()


def loss(
    weights: Float[Array, "C K"],
    outputs: Float[Array, "B K"],
    labels: Float[Array, "B C"],
    indices: Int[Array, " B"],
    state: Any,
    step: Int[Array, ""],
    *,
    alpha: float = 0.1,
) -> tuple[Float[Array, ""], Any]:
    """Returns GreedyHash's loss; see :class:`hashnet_jax.training.LayerLoss`."""
    del indices, step
    binary = jnp.where(outputs >= 0, 1.0, -1.0)
    codes = outputs + jax.lax.stop_gradient(binary - outputs)
    log_probabilities = jax.nn.log_softmax(codes @ weights.T, axis=1)
    quantization = jnp.mean(jnp.abs(jnp.abs(outputs) - 1) ** 3)
    return -jnp.mean(jnp.sum(labels * log_probabilities, axis=1)) + alpha * quantization, state
