"""ITQ: signs of principal components, rotated to minimize quantization error; requires faiss.

Reference: Gong, Lazebnik, "Iterative quantization: a Procrustean approach to learning binary
codes", CVPR 2011.
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
    """Computes rotated principal components; see :class:`experiments.baselines.Baseline`.

    Raises:
      ValueError: if there are fewer features or training images than bits.
    """
    if bits > min(train.shape):
        raise ValueError(
            f"ITQ requires at least as many features and training images as bits, but got {bits} "
            f"bits, {train.shape[1]} features and {train.shape[0]} images. Use fewer bits."
        )
    faiss = import_faiss("compute ITQ")
    transform = faiss.ITQTransform(train.shape[1], bits, True)
    transform.itq.seed = seed
    transform.train(np.ascontiguousarray(train))
    return [transform.apply(np.ascontiguousarray(part)) for part in parts]
