"""The interface that all losses implement, and the registry of losses."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Shaped

from hashnet_jax.losses._balance import Balance


class BatchLoss(NamedTuple):
    """The loss of one batch as a function of the codes alone.

    Attributes:
      share: function that maps this device's codes, float ``[B, K]``, to this device's share of the
        global batch's loss, a scalar; the shares of all devices sum to the loss.
      similar_share: a scalar in [0, 1]; its mean over the devices is the fraction of similar
        pairs in the global batch.
    """

    share: Callable[[Float[Array, "B K"]], Float[Array, ""]]
    similar_share: Float[Array, ""]


@runtime_checkable
class LossFactory(Protocol):
    """Builds the loss function for a batch with the given labels.

    See :func:`hashnet_jax.losses.pairwise_batch_loss` for the arguments.
    """

    def __call__(
        self,
        labels: Shaped[Array | np.ndarray, "B *C"],
        *,
        alpha: float,
        offset: float,
        balance: Balance,
        continuous: bool,
        axis_name: str | None,
    ) -> BatchLoss: ...


LOSSES: dict[str, LossFactory] = {}


def register(name: str, factory: LossFactory) -> None:
    """Registers a loss under a name for :class:`hashnet_jax.training.TrainSpec`.

    Args:
      name: the value of ``TrainSpec.loss`` that selects the loss.
      factory: function ``(labels, *, alpha, offset, balance, continuous, axis_name) -> BatchLoss``;
        for the arguments, see :func:`pairwise_batch_loss`.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> def bit_balance(labels, *, alpha, offset, balance, continuous, axis_name):
      ...     def share(codes):
      ...         return jnp.mean(jnp.square(jnp.mean(codes, axis=0)))
      ...     return BatchLoss(share, similar_share=jnp.zeros(()))
      >>> register("hashnet", bit_balance)
      Traceback (most recent call last):
      ...
      ValueError: a loss named 'hashnet' is already registered. Choose another name.
    """
    if name in LOSSES:
        raise ValueError(f"a loss named {name!r} is already registered. Choose another name.")
    LOSSES[name] = factory
