"""DINOv2 ViT-S/14 and ViT-B/14, self-supervised; the features are the normalized class token.

Reference: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024.
The variants without registers; stochastic depth is omitted here.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import Target, conv_tensors, layer_norm_tensors
from hashnet_jax.backbones._transformer import (
    DEPTH,
    Block,
    EncoderSpec,
    block_tensors,
    layer_norm,
    patch_conv,
    resize_positions,
    small_normal,
)

PATCH_SIZE = 14
TRAINED_GRID = 37  # patches per side of the 518 pixels at the end of the training
ENCODERS = {
    "S": EncoderSpec(384, 6, layer_scale=True),
    "B": EncoderSpec(768, 12, layer_scale=True),
}


class DINOv2(nn.Module):
    """Maps images [B, H, W, 3] to features [B, D]; H and W must be at least 14.

    D is 384 for ViT-S/14, and 768 for ViT-B/14.

    The position embeddings are those of 518 pixels for any image size, to which they are resampled.
    Rows and columns beyond the last whole patch are ignored.
    """

    size: str
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None  # unused: there are no batch statistics

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        spec = ENCODERS[self.size]
        x = patch_conv(PATCH_SIZE, spec.width, self.dtype)(images.astype(self.dtype))
        batch, rows, columns, width = x.shape
        token = self.param("cls_token", small_normal, (1, 1, width))
        positions = self.param("pos_embed", small_normal, (1, 1 + TRAINED_GRID**2, width))
        token = jnp.broadcast_to(token + positions[:, :1], (batch, 1, width))
        positions = resize_positions(positions[:, 1:], (rows, columns))
        x = x.reshape(batch, rows * columns, width) + positions.astype(self.dtype)
        x = jnp.concatenate([token.astype(self.dtype), x], axis=1)
        for i in range(DEPTH):
            x = Block(spec, self.dtype, name=f"block{i + 1}")(x)
        return layer_norm("norm", spec, self.dtype)(x[:, 0])


def tensor_names(size: str) -> dict[str, Target | None]:
    """Maps the tensor names of ``facebook/dinov2-*`` to :class:`Target` objects or None.

    Examples:
      >>> tensor_names("S")["encoder.layer.0.attention.attention.query.weight"].path
      'block1/attn/query/kernel'
    """
    names: dict[str, Target | None] = {
        "embeddings.cls_token": Target("params", "cls_token"),
        "embeddings.position_embeddings": Target("params", "pos_embed"),
        "embeddings.mask_token": None,  # replaces masked patches, in the self-supervised training
    }
    names |= conv_tensors("embeddings.patch_embeddings.projection", "patch_embed", bias=True)
    names |= layer_norm_tensors("layernorm", "norm")
    layers = {
        "norm1": "norm1",
        "attn/query": "attention.attention.query",
        "attn/key": "attention.attention.key",
        "attn/value": "attention.attention.value",
        "attn/out": "attention.output.dense",
        "scale1": "layer_scale1.lambda1",
        "norm2": "norm2",
        "mlp/fc1": "mlp.fc1",
        "mlp/fc2": "mlp.fc2",
        "scale2": "layer_scale2.lambda1",
    }
    return names | block_tensors(ENCODERS[size], "encoder.layer", layers)


_HUB_REPOSITORIES = {"S": "dinov2-small", "B": "dinov2-base"}

FAMILY = {
    f"dinov2_{size.lower()}14": Backbone(
        partial(DINOv2, size),
        smallest=PATCH_SIZE,
        weights=PublicWeights(
            partial(tensor_names, size),
            f"https://huggingface.co/facebook/{repository}/resolve/main/model.safetensors",
        ),
    )
    for size, repository in _HUB_REPOSITORIES.items()
}
