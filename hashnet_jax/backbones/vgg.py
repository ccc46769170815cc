"""VGG-11/13/16/19, with and without batch normalisation, as in torchvision.

Reference: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, table 1, columns A, B, D and E.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import (
    Target,
    batch_norm_tensors,
    conv_tensors,
    dense_tensors,
    skipped_tensors,
)
from hashnet_jax.layers import Conv, Dropout, adaptive_avg_pool, batch_norm, he_normal, max_pool

STAGE_FILTERS = (64, 128, 256, 512, 512)

# Number of convolutions in each stage, keyed by depth.
STAGE_CONVS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 4096]; H and W must be at least 32."""

    depth: int
    normalized: bool = False
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        x = images.astype(self.dtype)
        for stage, (filters, convs) in enumerate(
            zip(STAGE_FILTERS, STAGE_CONVS[self.depth], strict=True)
        ):
            for conv in range(convs):
                suffix = f"{stage + 1}_{conv + 1}"
                x = Conv(
                    filters,
                    (3, 3),
                    padding=1,
                    dtype=self.dtype,
                    kernel_init=he_normal,
                    name=f"conv{suffix}",
                )(x)
                if self.normalized:
                    x = batch_norm(
                        train, dtype=self.dtype, axis_name=self.axis_name, name=f"bn{suffix}"
                    )(x)
                x = nn.relu(x)
            x = max_pool(x, 2, 2)
        x = adaptive_avg_pool(x, 7)
        x = x.reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = nn.Dense(4096, dtype=self.dtype, kernel_init=he_normal, name=name)(x)
            x = nn.relu(x)
            x = Dropout(0.5, self.axis_name)(x, train)
        return x


def tensor_names(depth: int, normalized: bool = False) -> dict[str, Target | None]:
    """Maps the tensor names of torchvision's VGG-``depth`` to :class:`Target` objects or None.

    Examples:
      >>> tensor_names(11)["features.3.weight"].path
      'conv2_1/kernel'
      >>> tensor_names(11, True)["features.4.weight"].path
      'conv2_1/kernel'
    """
    names: dict[str, Target | None] = {}
    index = 0  # torchvision numbers convolutions, norms, ReLUs and pools in one sequence
    for stage, convs in enumerate(STAGE_CONVS[depth]):
        for conv in range(convs):
            ours = f"{stage + 1}_{conv + 1}"
            names |= conv_tensors(f"features.{index}", f"conv{ours}", bias=True)
            if normalized:
                names |= batch_norm_tensors(f"features.{index + 1}", f"bn{ours}")
            index += 3 if normalized else 2
        index += 1
    names |= dense_tensors("classifier.0", "fc6", flattened=(512, 7, 7))
    return names | dense_tensors("classifier.3", "fc7") | skipped_tensors("classifier.6")


# Each file's SHA-256. torchvision publishes its first eight digits, in the file's name; the others
# come from at least two projects that list the same value. For four files, none does.
_SHA256 = {
    "vgg11": "8a719046",
    "vgg13": "19584684",
    "vgg16": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "vgg19": "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    "vgg11_bn": "6002323d",
    "vgg13_bn": "abd245e5",
    "vgg16_bn": "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a",
    "vgg19_bn": "c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6",
}


def _member(name: str, depth: int, normalized: bool) -> Backbone:
    sha256 = _SHA256[name]
    url = f"https://download.pytorch.org/models/{name}-{sha256[:8]}.pth"
    weights = PublicWeights(partial(tensor_names, depth, normalized), url, sha256=sha256)
    return Backbone(partial(VGG, depth, normalized), weights=weights)


FAMILY = {
    f"vgg{depth}{suffix}": _member(f"vgg{depth}{suffix}", depth, normalized)
    for suffix, normalized in (("", False), ("_bn", True))
    for depth in STAGE_CONVS
}
