"""A small CNN, trained from scratch, for small images (8x8 digits, 28x28 MNIST, 32x32 CIFAR)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone
from hashnet_jax.layers import Conv, batch_norm, he_normal, max_pool


class SmallCNN(nn.Module):
    """Maps images [B, H, W, 3] to features [B, width]; H and W must be at least 4.

    The network has three stages of two 3x3 convolutions with batch normalisation, each at half the
    resolution of the previous one, followed by global average pooling and a dense layer.

    Attributes:
      filters: number of filters per stage.
      width: D, the number of features.
    """

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    filters: tuple[int, ...] = (16, 32, 64)
    width: int = 256

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        x = images.astype(self.dtype)
        for stage, filters in enumerate(self.filters):
            if stage > 0:
                x = max_pool(x, 2, 2)
            for conv in range(2):
                suffix = f"{stage + 1}_{conv + 1}"
                x = Conv(
                    filters,
                    (3, 3),
                    padding=1,
                    use_bias=False,
                    dtype=self.dtype,
                    kernel_init=he_normal,
                    name=f"conv{suffix}",
                )(x)
                x = nn.relu(self._batch_norm(f"bn{suffix}", train)(x))
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
        x = nn.Dense(
            self.width, use_bias=False, dtype=self.dtype, kernel_init=he_normal, name="dense"
        )(x)
        # Without this norm, the scale of the features drifts and the hash layer trains more slowly.
        return nn.relu(self._batch_norm("bn_dense", train)(x))

    def _batch_norm(self, name: str, train: bool) -> nn.BatchNorm:
        return batch_norm(train, dtype=self.dtype, axis_name=self.axis_name, name=name)


FAMILY = {"small_cnn": Backbone(SmallCNN, image_size=32, smallest=4, resize=32)}
