"""Reference gradients for HashNet's variants, computed pair by pair in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from hashnet_jax.configs import VARIANTS
from hashnet_jax.losses import jaccard, pair_weights, pairwise_loss, similarity


def pair_weight(labels: Int[np.ndarray, "B C"], i: int, j: int, variant: str) -> tuple[bool, float]:
    """Returns ``(similar, w_ij)`` by the paper's formula; |S|, |S1| and |S0| count pairs i != j."""
    sets = [set(np.flatnonzero(row)) for row in labels]
    pairs = [(a, b) for a in range(len(sets)) for b in range(len(sets)) if a != b]
    n_similar = sum(bool(sets[a] & sets[b]) for a, b in pairs)
    similar = bool(sets[i] & sets[j])
    weight = len(pairs) / (n_similar if similar else len(pairs) - n_similar)
    if variant == "hashnet-w":
        weight = 1.0
    if variant == "hashnet+c" and similar:
        weight *= len(sets[i] & sets[j]) / len(sets[i] | sets[j])
    return similar, weight


def gradient_by_loop(
    codes: Float[np.ndarray, "B K"], labels: Int[np.ndarray, "B C"], alpha: float, variant: str
) -> Float[np.ndarray, "B K"]:
    """Returns the gradient of sum(w l) / sum(w) over pairs i != j with respect to the codes."""
    gradient, total = np.zeros_like(codes), 0.0
    for i in range(len(codes)):
        for j in range(len(codes)):
            if i != j:
                similar, weight = pair_weight(labels, i, j, variant)
                link = 1 / (1 + math.exp(-alpha * codes[i] @ codes[j]))
                slope = weight * alpha * (link - similar)
                gradient[i] += slope * codes[j]
                gradient[j] += slope * codes[i]
                total += weight
    return gradient / total


def gradient_by_package(
    codes: Float[np.ndarray, "B K"], labels: Shaped[np.ndarray, "B *C"], alpha: float, variant: str
) -> Float[Array, "B K"]:
    """Returns the same gradient as computed by the package."""
    fields = VARIANTS[variant]
    similar = similarity(labels, labels)
    weights = pair_weights(
        similar,
        balance=fields["balance"],
        continuous=jaccard(labels, labels) if fields["continuous_similarity"] else None,
        counted=~np.eye(len(labels), dtype=bool),
    )

    def loss(codes: Float[Array, "B K"]) -> Float[Array, ""]:
        numerator, denominator = pairwise_loss(codes, codes, similar, alpha=alpha, weights=weights)
        return numerator / denominator

    return jax.grad(loss)(jnp.asarray(codes, jnp.float32))
