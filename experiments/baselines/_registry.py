"""The registries of shallow baselines and of learned rivals, keyed by name."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key

from hashnet_jax.training import LayerLoss


@runtime_checkable
class Baseline(Protocol):
    """A function that fits a hashing method to training features, without labels."""

    def __call__(
        self,
        train: Float[np.ndarray, "N D"],
        parts: Sequence[Float[np.ndarray, "M D"]],
        *,
        bits: int,
        seed: int,
    ) -> list[Float[np.ndarray, "M K"]]:
        """Computes the logits of parts of a data set.

        Args:
          train: features of the training images.
          parts: features of each part to encode, such as queries and database.
          bits: K, the number of bits per code.
          seed: seed for the method's random choices.

        Returns:
          The logits of each part. Their signs, with sgn(0) = +1, are the codes.
        """
        ...


class Init(Protocol):
    """Creates the weights and the state that a rival needs besides the hash layer."""

    def __call__(
        self, key: Key[Array, ""], labels: Float[np.ndarray, "N C"], bits: int
    ) -> tuple[Any, Any]:
        """Returns the weights, which are trained, and the state, which is not.

        Args:
          key: a ``jax.random.key`` for random choices.
          labels: multi-hot labels of the training images.
          bits: K, the number of bits per code.

        Returns:
          ``(weights, state)``, two pytrees of arrays. The weights, such as those of a classifier,
          are trained together with the hash layer. The state, such as hash centres or the codes
          of all training images, is only changed by the loss, which returns a new state.

        Raises:
          ValueError: if the method does not support such labels.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Rival:
    """A method that trains a linear hash layer with its own loss.

    Attributes:
      init: see :class:`Init`.
      loss: see :class:`hashnet_jax.training.LayerLoss`; the labels passed to the loss are
        multi-hot.
      batch_norm: whether the outputs are normalized before the loss: each bit to mean 0 and
        variance 1, using the statistics of the batch during training, and of all training images
        afterwards. There is no learned scale or bias.
      one_class: whether the method is defined only for images with exactly one class.
    """

    init: Init
    loss: LayerLoss
    batch_norm: bool = False
    one_class: bool = False


BASELINES: dict[str, Baseline] = {}
RIVALS: dict[str, Rival] = {}


def register(name: str, method: Baseline | Rival) -> None:
    """Registers a method, so that ``compare.py --methods`` can select it.

    Baselines can also be selected by ``reproduce.py --baselines``.

    Args:
      name: name of the method.
      method: a function that computes codes without labels, or a :class:`Rival`.

    Raises:
      ValueError: if the name is already registered.
    """
    if name in BASELINES or name in RIVALS:
        raise ValueError(f"a baseline named {name!r} is already registered. Choose another name.")
    if isinstance(method, Rival):
        RIVALS[name] = method
    else:
        BASELINES[name] = method
