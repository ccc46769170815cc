"""Standardizes features, and folds the standardization into the trained hash layer."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from hashnet_jax.model import HashNetParams


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureScale:
    """The mean and the standard deviation of each feature over the training images.

    The scales of individual features differ by orders of magnitude. Because SGD uses one learning
    rate and one weight decay for all features, it works better if they are standardized.

    Attributes:
      mean: the mean of each feature, float32 ``[D]``.
      std: the standard deviation of each feature, float32 ``[D]``, > 0; 1 for constant features.

    Examples:
      >>> scale = FeatureScale.of(np.array([[0.0, 5.0], [2.0, 5.0]], np.float32))
      >>> scale.apply(np.array([[3.0, 7.0]], np.float32)).tolist()
      [[2.0, 2.0]]
    """

    mean: Float32[np.ndarray, " D"]
    std: Float32[np.ndarray, " D"]

    @staticmethod
    def of(features: Float[np.ndarray, "N D"]) -> "FeatureScale":
        """Computes the mean and standard deviation of each feature over the training images."""
        mean = features.mean(axis=0, dtype=np.float64)
        std = features.std(axis=0, dtype=np.float64)
        std[std == 0] = 1.0
        return FeatureScale(mean.astype(np.float32), std.astype(np.float32))

    def apply(self, features: Float[np.ndarray, "M D"]) -> Float32[np.ndarray, "M D"]:
        """Standardizes features with ``self.mean`` and ``self.std``."""
        return (features - self.mean) / self.std

    def fold(
        self,
        kernel: Float[np.ndarray | Array, "D K"],
        bias: Float[np.ndarray | Array, " K"],
    ) -> tuple[Float32[np.ndarray, "D K"], Float32[np.ndarray, " K"]]:
        """Returns the kernel and bias of the equivalent layer for unstandardized features."""
        original = np.asarray(kernel, np.float64) / self.std[:, None]
        shifted = np.asarray(bias, np.float64) - self.mean @ original
        return original.astype(np.float32), shifted.astype(np.float32)

    def folded(self, layer: HashNetParams) -> HashNetParams:
        """Returns a layer for unstandardized features, equivalent to ``layer`` up to rounding.

        Args:
          layer: a hash layer for standardized features, see :func:`hashnet_jax.model.hash_layer`.
        """
        trained = layer.variables["params"]["hash"]
        kernel, bias = map(jnp.asarray, self.fold(trained["kernel"], trained["bias"]))
        folded = {"kernel": kernel, "bias": bias}
        return dataclasses.replace(layer, variables={**layer.variables, "params": {"hash": folded}})
