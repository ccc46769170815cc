"""DPSH, deep pairwise-supervised hashing.

    L = mean_ij [log(1 + exp(theta_ij)) - S_ij theta_ij] + alpha mean_ik (u_ik - sgn(u_ik))^2

with theta_ij = <u_i, U_j> / 2, i in the batch, j over all training images; U_j is the output of
image j when it was last in a batch, and 0 before.

Reference: Li, Wang, Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels",
IJCAI 2016. The paper sums both terms; the authors' code has the bank U and divides the sum over
bits by the number of training images instead of K. The means and alpha = 0.1 are from
DeepHash-pytorch, a widely used implementation. Both train the whole network; here, only the hash
layer is trained.
"""

from typing import Any

import jax
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
    """Returns DPSH's loss; see :class:`hashnet_jax.training.LayerLoss`."""
    del weights, step
    bank = _bank.updated(state, outputs, labels, indices)
    codes = jax.lax.stop_gradient(jnp.sign(outputs))
    quantization = jnp.mean(jnp.square(outputs - codes))
    return _bank.pairwise_term(outputs, labels, bank) + alpha * quantization, bank
