"""ConvNeXt-T, a convolutional network with the design choices of transformers.

Reference: Liu et al., "A ConvNet for the 2020s", CVPR 2022, section 2 and appendix A. Stochastic
depth is omitted here.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import (
    Target,
    conv_tensors,
    dense_tensors,
    layer_norm_tensors,
    skipped_tensors,
)
from hashnet_jax.layers import Conv, DepthwiseConv, small_normal

# Number of blocks and of channels in each stage.
STAGES = ((3, 96), (3, 192), (9, 384), (3, 768))


class Block(nn.Module):
    """A residual block: a 7x7 depthwise convolution, then an MLP with ``4 * C`` hidden units."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, inputs: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        channels = inputs.shape[-1]
        dense = {"dtype": self.dtype, "kernel_init": small_normal}
        x = DepthwiseConv(7, 1, small_normal, dtype=self.dtype, name="depthwise")(inputs)
        x += self._per_channel("depthwise_bias", 0.0, channels)
        x = _layer_norm("norm", self.dtype)(x)
        x = nn.gelu(nn.Dense(4 * channels, **dense, name="fc1")(x), approximate=False)
        x = nn.Dense(channels, **dense, name="fc2")(x)
        return inputs + x * self._per_channel("scale", 1e-6, channels)

    def _per_channel(self, name: str, start: float, channels: int) -> Float[Array, "1 1 1 C"]:
        values = self.param(name, nn.initializers.constant(start), (channels,))
        return values.astype(self.dtype).reshape(1, 1, 1, -1)


class ConvNeXtT(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 768]; H and W must be at least 32.

    The features are the normalized means over all pixels, the input of the classifier.
    """

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None  # unused: there are no batch statistics

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        x = images.astype(self.dtype)
        for stage, (blocks, channels) in enumerate(STAGES, start=1):
            if stage == 1:
                x = self._patches(4, channels, "stem")(x)
                x = _layer_norm("stem_norm", self.dtype)(x)
            else:
                x = _layer_norm(f"stage{stage}_norm", self.dtype)(x)
                x = self._patches(2, channels, f"stage{stage}_downsample")(x)
            for block in range(1, blocks + 1):
                x = Block(self.dtype, name=f"stage{stage}_{block}")(x)
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
        return _layer_norm("norm", self.dtype)(x)

    def _patches(self, side: int, filters: int, name: str) -> nn.Conv:
        return Conv(
            filters,
            (side, side),
            (side, side),
            padding="VALID",
            dtype=self.dtype,
            kernel_init=small_normal,
            name=name,
        )


def _layer_norm(name: str, dtype: DTypeLike) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-6, dtype=dtype, name=name)


def tensor_names() -> dict[str, Target | None]:
    """Maps the tensor names of timm's ``convnext_tiny`` to :class:`Target` objects or None.

    Examples:
      >>> tensor_names()["stages.1.downsample.1.bias"].path
      'stage2_downsample/bias'
    """
    names = conv_tensors("stem.0", "stem", bias=True) | layer_norm_tensors("stem.1", "stem_norm")
    for stage, (blocks, _) in enumerate(STAGES):
        file, ours = f"stages.{stage}", f"stage{stage + 1}"
        if stage > 0:
            names |= layer_norm_tensors(f"{file}.downsample.0", f"{ours}_norm")
            names |= conv_tensors(f"{file}.downsample.1", f"{ours}_downsample", bias=True)
        for block in range(blocks):
            names |= _block_tensors(f"{file}.blocks.{block}", f"{ours}_{block + 1}")
    return names | layer_norm_tensors("head.norm", "norm") | skipped_tensors("head.fc")


def _block_tensors(file: str, ours: str) -> dict[str, Target | None]:
    names = conv_tensors(f"{file}.conv_dw", f"{ours}/depthwise")
    names[f"{file}.conv_dw.bias"] = Target("params", f"{ours}/depthwise_bias")
    names |= layer_norm_tensors(f"{file}.norm", f"{ours}/norm")
    names |= dense_tensors(f"{file}.mlp.fc1", f"{ours}/fc1")
    names |= dense_tensors(f"{file}.mlp.fc2", f"{ours}/fc2")
    return names | {f"{file}.gamma": Target("params", f"{ours}/scale")}


# The authors' weights for ImageNet-1k in timm's file. As in timm's config `convnext_tiny.fb_in1k`:
# 224 pixels, cropped to 0.875 of the resized image, with ImageNet's mean and std.
FAMILY = {
    "convnext_t": Backbone(
        ConvNeXtT,
        weights=PublicWeights(
            tensor_names,
            "https://huggingface.co/timm/convnext_tiny.fb_in1k/resolve/main/model.safetensors",
            sha256="08b9dc9c3a3a29421de7996761e176501896d1ae7fc3085cf56a643772329276",
        ),
    )
}
