"""Sign of PCA: signs of the first K principal components of the training features.

Reference: the starting point of ITQ in Gong, Lazebnik, "Iterative quantization: a Procrustean
approach to learning binary codes", CVPR 2011, there called PCA-Direct.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def logits(
    train: Float[np.ndarray, "N D"],
    parts: Sequence[Float[np.ndarray, "M D"]],
    *,
    bits: int,
    seed: int,
) -> list[Float[np.ndarray, "M K"]]:
    """Computes the first K principal components; see :class:`experiments.baselines.Baseline`.

    Raises:
      ValueError: if there are fewer features or training images than bits.
    """
    del seed
    if bits > min(train.shape):
        raise ValueError(
            f"the sign of PCA requires at least as many features and training images as bits, but "
            f"got {bits} bits, {train.shape[1]} features and {train.shape[0]} images. Use fewer "
            "bits."
        )
    mean = train.mean(axis=0)
    centred = (train - mean).astype(np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    components = vectors[:, ::-1][:, :bits]  # eigh sorts by increasing variance
    return [((part - mean) @ components).astype(np.float32) for part in parts]
