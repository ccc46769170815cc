"""torchvision's AlexNet, without LRN or groups; the features are the outputs of layer fc7.

Reference: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
HashNet's Caffe code uses CaffeNet (with LRN and groups); its PyTorch code uses this network.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import Target, conv_tensors, dense_tensors, skipped_tensors
from hashnet_jax.layers import Conv, Dropout, adaptive_avg_pool, he_normal, max_pool


class ConvLayer(NamedTuple):
    """The parameters of a convolution (sizes in pixels), and whether max pooling follows."""

    filters: int
    kernel: int
    stride: int
    padding: int
    pooled: bool


CONV_LAYERS = (
    ConvLayer(64, 11, 4, 2, pooled=True),
    ConvLayer(192, 5, 1, 2, pooled=True),
    ConvLayer(384, 3, 1, 1, pooled=False),
    ConvLayer(256, 3, 1, 1, pooled=False),
    ConvLayer(256, 3, 1, 1, pooled=True),
)


class AlexNet(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 4096]; H and W must be at least 63."""

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        x = images.astype(self.dtype)
        for i, layer in enumerate(CONV_LAYERS):
            x = Conv(
                layer.filters,
                (layer.kernel, layer.kernel),
                (layer.stride, layer.stride),
                padding=layer.padding,
                dtype=self.dtype,
                kernel_init=he_normal,
                name=f"conv{i + 1}",
            )(x)
            x = nn.relu(x)
            if layer.pooled:
                x = max_pool(x, 3, 2)
        x = adaptive_avg_pool(x, 6)
        x = x.reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = Dropout(0.5, self.axis_name)(x, train)
            x = nn.Dense(4096, dtype=self.dtype, kernel_init=he_normal, name=name)(x)
            x = nn.relu(x)
        return x


def tensor_names() -> dict[str, Target | None]:
    """Maps the tensor names of torchvision's AlexNet to :class:`Target` objects, or None to skip.

    Examples:
      >>> tensor_names()["features.0.weight"].path, tensor_names()["classifier.6.weight"]
      ('conv1/kernel', None)
    """
    names: dict[str, Target | None] = {}
    for i, index in enumerate((0, 3, 6, 8, 10)):
        names |= conv_tensors(f"features.{index}", f"conv{i + 1}", bias=True)
    names |= dense_tensors("classifier.1", "fc6", flattened=(256, 6, 6))
    return names | dense_tensors("classifier.4", "fc7") | skipped_tensors("classifier.6")


FAMILY = {
    "alexnet": Backbone(
        AlexNet,
        smallest=63,
        weights=PublicWeights(
            tensor_names,
            "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            # torchvision publishes the first eight digits; two other projects list all of them.
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        ),
    )
}
