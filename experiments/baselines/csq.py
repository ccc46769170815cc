"""CSQ, central similarity quantization.

    L = mean_ik log(1 + exp(-2 c_ik u_ik)) + weight mean_ik (|tanh u_ik| - 1)^2

where c_i in {-1, +1}^K is the hash centre of image i. The first term is the binary cross-entropy
between the centre and (1 + tanh u) / 2.

Reference: Yuan, Wang, Zhang, Tay, Jie, Liu, Feng, "Central Similarity Quantization for Efficient
Image and Video Retrieval", CVPR 2020. The paper has log cosh(|2h - 1| - 1) as its second term; the
square and its weight 1e-4 are from DeepHash-pytorch, a widely used implementation. Centres that no
Hadamard matrix provides are drawn at random; see :func:`hash_centres`. The authors train the whole
network; here, only the hash layer is trained.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

_DRAWS = 20  # as in the authors' code


class Centres(NamedTuple):
    """Hash centres, with entries -1 and +1.

    Attributes:
      of_classes: the centre of each class, ``[C, K]``.
      at_ties: the code ``[K]`` that decides bits on which the classes of an image are tied.
    """

    of_classes: Float[Array, "C K"]
    at_ties: Float[Array, " K"]


def init(
    key: Key[Array, ""], labels: Float[np.ndarray, "N C"], bits: int
) -> tuple[tuple[()], Centres]:
    """Returns no weights, and the centres; see :class:`experiments.baselines._registry.Init`."""
    centres_key, ties_key = jax.random.split(key)
    at_ties = jax.random.rademacher(ties_key, (bits,), jnp.float32)
    return (), Centres(hash_centres(centres_key, labels.shape[1], bits), at_ties)


def loss(
    weights: Any,
    outputs: Float[Array, "B K"],
    labels: Float[Array, "B C"],
    indices: Int[Array, " B"],
    state: Centres,
    step: Int[Array, ""],
    *,
    quantization_weight: float = 1e-4,
) -> tuple[Float[Array, ""], Centres]:
    """Returns CSQ's loss; see :class:`hashnet_jax.training.LayerLoss`."""
    del weights, indices, step
    central = jnp.mean(jax.nn.softplus(-2 * targets(state, labels) * outputs))
    quantization = jnp.mean(jnp.square(jnp.abs(jnp.tanh(outputs)) - 1))
    return central + quantization_weight * quantization, state


def targets(centres: Centres, labels: Float[Array, "B C"]) -> Float[Array, "B K"]:
    """Returns each image's centre: for each bit, the majority of the centres of its classes."""
    votes = jnp.sign(labels @ centres.of_classes)
    return jnp.where(votes == 0, centres.at_ties[None, :], votes)


def hash_centres(key: Key[Array, ""], classes: int, bits: int) -> Float[Array, "C K"]:
    """Returns a centre for each class.

    If K is a power of two, the first 2K centres are the rows of [H; -H], with H the Hadamard matrix
    of order K. Any two of these centres differ in at least K/2 bits. The other centres have +1 on a
    random half of the bits. They are drawn 20 times, and the draw whose two nearest centres are
    farthest apart is used.
    """
    is_power_of_two = bits & (bits - 1) == 0
    fixed = _hadamard_rows(min(classes, 2 * bits) if is_power_of_two else 0, bits)
    half = np.where(np.arange(bits) < bits // 2, 1.0, -1.0)
    rows = np.broadcast_to(half, (classes - len(fixed), bits))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    draws = [np.concatenate([fixed, rng.permuted(rows, axis=1)]) for _ in range(_DRAWS)]
    return jnp.asarray(min(draws, key=_closeness), jnp.float32)


def _closeness(centres: Float[np.ndarray, "C K"]) -> float:
    """Returns the largest inner product of two centres."""
    products = centres @ centres.T
    np.fill_diagonal(products, -np.inf)
    return products.max()


def _hadamard_rows(rows: int, bits: int) -> Float[np.ndarray, "rows bits"]:
    matrix = np.ones((1, 1))
    while rows and len(matrix) < bits:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    matrix = np.broadcast_to(matrix, (len(matrix), bits))
    return np.concatenate([matrix, -matrix])[:rows]
