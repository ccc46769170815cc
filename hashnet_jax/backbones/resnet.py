"""ResNet-18/34/50/101/152 as in torchvision (v1.5, with the stride in the 3x3 convolution).

Reference: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import Target, batch_norm_tensors, conv_tensors, skipped_tensors
from hashnet_jax.layers import Conv, batch_norm, he_normal_fan_out, max_pool

# Number of blocks in each stage, keyed by depth.
STAGE_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
MIN_BOTTLENECK_DEPTH = 50  # from this depth on, blocks are 1x1, 3x3, 1x1


class ConvNorm(nn.Module):
    """A bias-free convolution followed by batch normalisation."""

    filters: int
    kernel: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B Ho Wo F"]:
        x = Conv(
            self.filters,
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding=self.kernel // 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=he_normal_fan_out,
            name="conv",
        )(x)
        return batch_norm(train, dtype=self.dtype, axis_name=self.axis_name, name="bn")(x)


class Block(nn.Module):
    """Residual block: two 3x3 convolutions, or a bottleneck with ``4 * filters`` outputs."""

    filters: int
    stride: int
    bottleneck: bool
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B Ho Wo F"]:
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        if self.bottleneck:
            layers = ((1, 1, 1), (3, self.stride, 1), (1, 1, 4))
        else:
            layers = ((3, self.stride, 1), (3, 1, 1))
        shortcut = x
        for i, (kernel, stride, expansion) in enumerate(layers):
            if i > 0:
                x = nn.relu(x)
            filters = self.filters * expansion
            x = ConvNorm(filters, kernel, stride, **shared, name=f"layer{i + 1}")(x, train)
        if shortcut.shape != x.shape:
            shortcut = ConvNorm(x.shape[-1], 1, self.stride, **shared, name="shortcut")(
                shortcut, train
            )
        return nn.relu(x + shortcut)


class ResNet(nn.Module):
    """Maps images [B, H, W, 3] to features [B, D]; H and W must be at least 32.

    D is 512 for ResNet-18 and ResNet-34, and 2048 for deeper networks.
    """

    depth: int
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x = images.astype(self.dtype)
        x = nn.relu(ConvNorm(64, 7, 2, **shared, name="stem")(x, train))
        x = max_pool(x, 3, 2, padding=1)
        for stage, blocks in enumerate(STAGE_BLOCKS[self.depth]):
            for block in range(blocks):
                x = Block(
                    filters=64 * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    bottleneck=self.depth >= MIN_BOTTLENECK_DEPTH,
                    **shared,
                    name=f"stage{stage + 1}_{block + 1}",
                )(x, train)
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)


def tensor_names(depth: int) -> dict[str, Target | None]:
    """Maps the tensor names of torchvision's ResNet-``depth`` to :class:`Target` objects or None.

    Examples:
      >>> names = tensor_names(50)
      >>> names["layer1.0.downsample.1.running_var"].path, names["fc.weight"]
      ('stage1_1/shortcut/bn/var', None)
    """
    names = conv_tensors("conv1", "stem/conv") | batch_norm_tensors("bn1", "stem/bn")
    bottleneck = depth >= MIN_BOTTLENECK_DEPTH
    for stage, blocks in enumerate(STAGE_BLOCKS[depth]):
        for block in range(blocks):
            file, ours = f"layer{stage + 1}.{block}", f"stage{stage + 1}_{block + 1}"
            for i in range(1, 4 if bottleneck else 3):
                names |= conv_tensors(f"{file}.conv{i}", f"{ours}/layer{i}/conv")
                names |= batch_norm_tensors(f"{file}.bn{i}", f"{ours}/layer{i}/bn")
            # The first block changes the shape, except in the first stage without bottlenecks.
            if block == 0 and (stage > 0 or bottleneck):
                names |= conv_tensors(f"{file}.downsample.0", f"{ours}/shortcut/conv")
                names |= batch_norm_tensors(f"{file}.downsample.1", f"{ours}/shortcut/bn")
    return names | skipped_tensors("fc")


# Each file's SHA-256. torchvision publishes its first eight digits, in the file's name; the others
# come from at least two projects that list the same value.
_SHA256 = {
    18: "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    34: "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    50: "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    101: "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
    152: "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
}

FAMILY = {
    f"resnet{depth}": Backbone(
        partial(ResNet, depth),
        weights=PublicWeights(
            partial(tensor_names, depth),
            f"https://download.pytorch.org/models/resnet{depth}-{sha256[:8]}.pth",
            sha256=sha256,
        ),
    )
    for depth, sha256 in _SHA256.items()
}
