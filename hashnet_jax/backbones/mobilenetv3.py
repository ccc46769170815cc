"""MobileNetV3-Large as in torchvision: inverted bottlenecks with squeeze-and-excitation.

Reference: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1. The features are the 1280
channels before the classifier; dropout is omitted here.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._mobile import ConvNorm
from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import (
    Target,
    batch_norm_tensors,
    conv_tensors,
    dense_tensors,
    skipped_tensors,
)
from hashnet_jax.layers import Conv, he_normal_fan_out

STEM_FILTERS, LAST_FILTERS, FEATURES = 16, 960, 1280


class BlockSpec(NamedTuple):
    """A block's kernel size, expanded channels, filters, whether it squeezes, and its stride.

    ``hard_swish`` tells whether the activation is h-swish instead of ReLU.
    """

    kernel: int
    expanded: int
    filters: int
    squeeze: bool
    hard_swish: bool
    stride: int


BLOCKS = (
    BlockSpec(3, 16, 16, False, False, 1),
    BlockSpec(3, 64, 24, False, False, 2),
    BlockSpec(3, 72, 24, False, False, 1),
    BlockSpec(5, 72, 40, True, False, 2),
    BlockSpec(5, 120, 40, True, False, 1),
    BlockSpec(5, 120, 40, True, False, 1),
    BlockSpec(3, 240, 80, False, True, 2),
    BlockSpec(3, 200, 80, False, True, 1),
    BlockSpec(3, 184, 80, False, True, 1),
    BlockSpec(3, 184, 80, False, True, 1),
    BlockSpec(3, 480, 112, True, True, 1),
    BlockSpec(3, 672, 112, True, True, 1),
    BlockSpec(5, 672, 160, True, True, 2),
    BlockSpec(5, 960, 160, True, True, 1),
    BlockSpec(5, 960, 160, True, True, 1),
)


class InvertedBottleneck(nn.Module):
    """A 1x1 expansion, a depthwise convolution, and a 1x1 projection."""

    spec: BlockSpec
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "B H W C"], train: bool) -> Float[Array, "B Ho Wo F"]:
        kernel, expanded, filters, squeeze, hard_swish, stride = self.spec
        activation = nn.hard_swish if hard_swish else nn.relu
        conv_norm = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        x = inputs
        if expanded != inputs.shape[-1]:
            x = activation(conv_norm(expanded, name="expand")(x, train))
        x = conv_norm(expanded, kernel, stride, depthwise=True, name="depthwise")(x, train)
        x = activation(x)
        if squeeze:
            x = SqueezeExcite(squeezed_channels(expanded), self.dtype, name="squeeze")(x)
        x = conv_norm(filters, name="project")(x, train)
        return x + inputs if x.shape == inputs.shape else x


class SqueezeExcite(nn.Module):
    """Multiplies each channel by a gate computed from the means of all channels."""

    squeezed: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        conv = partial(Conv, kernel_size=(1, 1), dtype=self.dtype, kernel_init=he_normal_fan_out)
        means = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(self.dtype)
        gate = nn.relu(conv(self.squeezed, name="fc1")(means))
        return x * nn.hard_sigmoid(conv(x.shape[-1], name="fc2")(gate))


def squeezed_channels(expanded: int) -> int:
    """Returns about a quarter of the channels: the nearest multiple of 8, at most 10 % fewer."""
    nearest = max(8, (expanded // 4 + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * (expanded // 4) else nearest


class MobileNetV3Large(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 1280]; H and W must be at least 32."""

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x = images.astype(self.dtype)
        x = nn.hard_swish(ConvNorm(STEM_FILTERS, 3, 2, **shared, name="stem")(x, train))
        for i, block in enumerate(BLOCKS):
            x = InvertedBottleneck(block, **shared, name=f"block{i + 1}")(x, train)
        x = nn.hard_swish(ConvNorm(LAST_FILTERS, **shared, name="last")(x, train))
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
        return nn.hard_swish(nn.Dense(FEATURES, dtype=self.dtype, name="head")(x))


def tensor_names() -> dict[str, Target | None]:
    """Maps the tensor names of torchvision's ``mobilenet_v3_large`` to :class:`Target`s or None.

    Examples:
      >>> tensor_names()["features.4.block.2.fc1.weight"].path
      'block4/squeeze/fc1/kernel'
    """
    names = _conv_norm_tensors("features.0", "stem")
    inputs = STEM_FILTERS
    for i, block in enumerate(BLOCKS, start=1):
        layers = ["expand", "depthwise", "squeeze", "project"]
        if block.expanded == inputs:
            layers.remove("expand")
        if not block.squeeze:
            layers.remove("squeeze")
        for number, layer in enumerate(layers):
            file, ours = f"features.{i}.block.{number}", f"block{i}/{layer}"
            if layer == "squeeze":
                for fc in ("fc1", "fc2"):
                    names |= conv_tensors(f"{file}.{fc}", f"{ours}/{fc}", bias=True)
            else:
                names |= _conv_norm_tensors(file, ours)
        inputs = block.filters
    names |= _conv_norm_tensors(f"features.{len(BLOCKS) + 1}", "last")
    return names | dense_tensors("classifier.0", "head") | skipped_tensors("classifier.3")


def _conv_norm_tensors(file: str, ours: str) -> dict[str, Target | None]:
    return conv_tensors(f"{file}.0", f"{ours}/conv") | batch_norm_tensors(f"{file}.1", f"{ours}/bn")


# torchvision's MobileNet_V3_Large_Weights.IMAGENET1K_V1: images are resized to 256 pixels and
# cropped to 224, with ImageNet's mean and std.
FAMILY = {
    "mobilenetv3_large": Backbone(
        MobileNetV3Large,
        weights=PublicWeights(
            tensor_names,
            "https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth",
            sha256="8738ca797c879b547d18bbd15da5736ff2557b2036a9af72225393ca61759a04",
        ),
    )
}
