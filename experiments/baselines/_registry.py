"""The registry of baselines, keyed by name."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8


@runtime_checkable
class Baseline(Protocol):
    """A function that fits a hashing method to training features, and encodes features with it."""

    def __call__(
        self,
        train: Float[np.ndarray, "N D"],
        parts: Sequence[Float[np.ndarray, "M D"]],
        *,
        bits: int,
        seed: int,
    ) -> list[UInt8[np.ndarray, "M bytes"]]:
        """Encodes parts of a data set.

        Args:
          train: features of the training images.
          parts: features of each part to encode, such as queries and database.
          bits: K, the number of bits per code.
          seed: seed for the method's random choices.

        Returns:
          The packed codes of each part, in the format of :func:`hashnet_jax.pack_bits`.
        """
        ...


BASELINES: dict[str, Baseline] = {}


def register(name: str, baseline: Baseline) -> None:
    """Registers a baseline, so that ``reproduce.py --baselines`` can select it.

    Args:
      name: name of the baseline.
      baseline: function that computes its codes.

    Raises:
      ValueError: if the name is already registered.
    """
    if name in BASELINES:
        raise ValueError(f"a baseline named {name!r} is already registered. Choose another name.")
    BASELINES[name] = baseline
