"""Batch normalization with statistics of the global batch."""

import flax.linen as nn
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike


def batch_norm(
    train: bool,
    *,
    dtype: DTypeLike,
    axis_name: str | None,
    name: str,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    scale_init: Initializer = nn.initializers.ones,
) -> nn.BatchNorm:
    """Creates a batch normalization layer whose statistics are computed over the global batch.

    Args:
      train: whether to normalize with the batch statistics, and update the running statistics. If
        false, the running statistics are used.
      dtype: dtype of the computation.
      axis_name: the mapped axis over which statistics are computed, if any.
      name: name of the layer.
      momentum: weight of the old running statistics, i.e. one minus torch's momentum. The defaults
        for ``momentum`` and ``epsilon`` are torchvision's.
      epsilon: small constant added to the variance.
      scale_init: initializer of the scale.

    Examples:
      >>> batch_norm(False, dtype="float32", axis_name=None, name="bn").use_running_average
      True
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        axis_name=axis_name if train else None,
        scale_init=scale_init,
        name=name,
    )
