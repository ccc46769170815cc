"""A linear hash layer on cached features."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float


class HashLayer(NamedTuple):
    """A linear hash layer.

    Attributes:
      kernel: weight matrix ``[D, K]``.
      bias: bias vector ``[K]``.

    Examples:
      >>> HashLayer(np.ones((2, 1)), np.array([0.5])).logits(np.ones((3, 2))).tolist()
      [[2.5], [2.5], [2.5]]
    """

    kernel: Float[np.ndarray | Array, "D K"]
    bias: Float[np.ndarray | Array, " K"]

    def logits(self, features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        """Returns the logits, whose signs are the codes."""
        return features @ self.kernel + self.bias
