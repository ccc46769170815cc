"""Sign of the features: the K features of highest variance, each cut at its mean.

There is no paper. This baseline shows how good the backbone's features are without any transform.
The means and variances are computed from the training images.
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
    """Centres the K features of highest variance; see :class:`experiments.baselines.Baseline`.

    Raises:
      ValueError: if there are fewer features than bits.
    """
    del seed
    if bits > train.shape[1]:
        raise ValueError(
            "the sign of the features requires at least as many features as bits, but got "
            f"{bits} bits and {train.shape[1]} features. Use fewer bits."
        )
    chosen = np.argsort(-train.var(axis=0), kind="stable")[:bits]
    mean = train.mean(axis=0)[chosen]
    return [part[:, chosen] - mean for part in parts]
