"""The codes and labels of all training images, which DHN and DPSH compare each batch with."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key


class Bank(NamedTuple):
    """The outputs and labels that each training image had when it was last in a batch.

    Attributes:
      outputs: outputs of the hash layer, float ``[N, K]``; 0 for images not visited yet.
      labels: multi-hot labels, float ``[N, C]``; 0 for images not visited yet.
    """

    outputs: Float[Array, "N K"]
    labels: Float[Array, "N C"]


def init(
    key: Key[Array, ""], labels: Float[np.ndarray, "N C"], bits: int
) -> tuple[tuple[()], Bank]:
    """Returns no weights, and an empty bank; see :class:`experiments.baselines._registry.Init`."""
    del key
    return (), Bank(jnp.zeros((len(labels), bits)), jnp.zeros(labels.shape))


def updated(
    bank: Bank,
    outputs: Float[Array, "B K"],
    labels: Float[Array, "B C"],
    indices: Int[Array, " B"],
) -> Bank:
    """Returns the bank with the batch's rows replaced; no gradient passes through the bank."""
    return Bank(
        bank.outputs.at[indices].set(jax.lax.stop_gradient(outputs)),
        bank.labels.at[indices].set(labels),
    )


def pairwise_term(
    outputs: Float[Array, "B K"], labels: Float[Array, "B C"], bank: Bank
) -> Float[Array, ""]:
    """Returns the mean of log(1 + exp(theta)) - S theta over all pairs of batch and bank.

    ``theta_ij = <u_i, U_j> / 2``, and S_ij is 1 if i and j share a label, else 0.
    """
    theta = 0.5 * outputs @ bank.outputs.T
    similar = labels @ bank.labels.T > 0
    return jnp.mean(jax.nn.softplus(theta) - jnp.where(similar, theta, 0))
