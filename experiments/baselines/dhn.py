"""DHN, deep hashing network.

    L = mean_ij [log(1 + exp(theta_ij)) - S_ij theta_ij] + alpha mean_ik log cosh(|u_ik| - 1)

with theta_ij = <u_i, U_j> / 2, i in the batch, j over all training images; U_j is the output of
image j when it was last in a batch, and 0 before.

Reference: Zhu, Long, Wang, Cao, "Deep Hashing Network for Efficient Similarity Retrieval", AAAI
2016. The paper sums over the pairs of all images with <z_i, z_j>. The bank U, the factor 1/2, the
means and alpha = 0.1 are from DeepHash-pytorch, a widely used implementation. Both train the whole
network; here, only the hash layer is trained.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from experiments.baselines import _bank

init = _bank.init


def loss(
    weights: Any,
    outputs: Float[Array, "B K"],
    labels: Float[Array, "B C"],
    indices: Int[Array, " B"],
    state: _bank.Bank,
    step: Int[Array, ""],
    *,
    alpha: float = 0.1,
) -> tuple[Float[Array, ""], _bank.Bank]:
    """Returns DHN's loss; see :class:`hashnet_jax.training.LayerLoss`."""
    del weights, step
    bank = _bank.updated(state, outputs, labels, indices)
    excess = jnp.abs(outputs) - 1
    # log cosh(x), without overflow for large x
    quantization = jnp.mean(jnp.logaddexp(excess, -excess) - jnp.log(2.0))
    return _bank.pairwise_term(outputs, labels, bank) + alpha * quantization, bank
