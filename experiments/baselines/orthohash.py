"""OrthoHash: one cosine softmax loss against a fixed binary codebook.

    L = -mean_i sum_c t_ic log softmax(s (cos(u_i, o_c) - m y_ic))_c,  t_i = y_i / sum_c y_ic

where o_c is a random code of class c, y the multi-hot labels, s = 8 and m = 0.2. The outputs u are
normalized over the batch before the loss.

Reference: Hoe, Ng, Zhang, Chan, Song, Xiang, "One Loss for All: Deep Hashing with a Single Cosine
Similarity based Learning Objective", NeurIPS 2021. As in the authors' code, the codebook consists
of fair coin flips, and images with several classes share the target equally. Their batch
normalization also learns a scale for each bit, which does not change the sign; here, there is none.
The authors train the whole network; here, only the hash layer is trained.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key


def init(
    key: Key[Array, ""], labels: Float[np.ndarray, "N C"], bits: int
) -> tuple[tuple[()], Float[Array, "C K"]]:
    """Returns no weights, and the codebook; see :class:`experiments.baselines._registry.Init`."""
    return (), jax.random.rademacher(key, (labels.shape[1], bits), jnp.float32)


def loss(
    weights: Any,
    outputs: Float[Array, "B K"],
    labels: Float[Array, "B C"],
    indices: Int[Array, " B"],
    state: Float[Array, "C K"],
    step: Int[Array, ""],
    *,
    scale: float = 8.0,
    margin: float = 0.2,
) -> tuple[Float[Array, ""], Float[Array, "C K"]]:
    """Returns OrthoHash's loss; see :class:`hashnet_jax.training.LayerLoss`."""
    del weights, indices, step
    cosines = _unit(outputs) @ _unit(state).T
    log_probabilities = jax.nn.log_softmax(scale * (cosines - margin * labels), axis=1)
    # An image without labels adds 0 to the loss.
    shares = labels / jnp.maximum(labels.sum(axis=1, keepdims=True), 1)
    return -jnp.mean(jnp.sum(shares * log_probabilities, axis=1)), state


def _unit(rows: Float[Array, "N K"]) -> Float[Array, "N K"]:
    return rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
