"""LSH: signs of random projections of centred features; requires faiss.

Reference: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002. The
paper projects features without centring them. We centre them because non-negative features, e.g.
after a ReLU, would otherwise tend to have the same signs.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hashnet_jax.index import import_faiss


def logits(
    train: Float[np.ndarray, "N D"],
    parts: Sequence[Float[np.ndarray, "M D"]],
    *,
    bits: int,
    seed: int,
) -> list[Float[np.ndarray, "M K"]]:
    """Projects features onto random directions; see :class:`experiments.baselines.Baseline`."""
    faiss = import_faiss("compute LSH")
    rotation = faiss.RandomRotationMatrix(train.shape[1], bits)
    rotation.init(seed)
    mean = train.mean(axis=0)
    return [rotation.apply(np.ascontiguousarray(part - mean)) for part in parts]
