"""CLIP's vision tower ViT-B/16, trained by OpenAI to match images with their captions.

The features are the normalized class token, before the linear projection to the space that images
share with captions: the hash layer is linear too.

Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
ICML 2021, section 2.4 and table 20.
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
    layer_norm_tensors,
    skipped_tensors,
)
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

PATCH_SIZE = 16
TRAINED_GRID = 14  # patches per side of 224 pixels


def quick_gelu(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """Computes OpenAI's approximation of GELU, x σ(1.702 x)."""
    return x * nn.sigmoid(1.702 * x)


ENCODER = EncoderSpec(768, 12, epsilon=1e-5, activation=quick_gelu, joint_qkv=True)


class CLIPVision(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 768]; H and W must be at least 16.

    The position embeddings are those of 224 pixels; they are resampled to other image sizes. Rows
    and columns beyond the last whole patch are ignored.
    """

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None  # unused: there are no batch statistics

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        patches = patch_conv(PATCH_SIZE, ENCODER.width, self.dtype, use_bias=False)
        x = patches(images.astype(self.dtype))
        batch, rows, columns, width = x.shape
        token = self.param("cls_token", small_normal, (1, 1, width))
        positions = self.param("pos_embed", small_normal, (1, 1 + TRAINED_GRID**2, width))
        token = jnp.broadcast_to(token + positions[:, :1], (batch, 1, width))
        positions = resize_positions(positions[:, 1:], (rows, columns))
        x = x.reshape(batch, rows * columns, width) + positions.astype(self.dtype)
        x = jnp.concatenate([token.astype(self.dtype), x], axis=1)
        x = layer_norm("norm_pre", ENCODER, self.dtype)(x)
        for i in range(DEPTH):
            x = Block(ENCODER, self.dtype, name=f"block{i + 1}")(x)
        return layer_norm("norm", ENCODER, self.dtype)(x[:, 0])


def tensor_names() -> dict[str, Target | None]:
    """Maps tensor names of timm's CLIP models to :class:`Target` objects or None.

    Examples:
      >>> tensor_names()["norm_pre.weight"].path
      'norm_pre/scale'
    """
    names: dict[str, Target | None] = {
        name: Target("params", name) for name in ("cls_token", "pos_embed")
    }
    names |= conv_tensors("patch_embed.proj", "patch_embed")
    names |= layer_norm_tensors("norm_pre", "norm_pre") | layer_norm_tensors("norm", "norm")
    layers = {
        "norm1": "norm1",
        "attn/qkv": "attn.qkv",
        "attn/out": "attn.proj",
        "norm2": "norm2",
        "mlp/fc1": "mlp.fc1",
        "mlp/fc2": "mlp.fc2",
    }
    return names | block_tensors(ENCODER, "blocks", layers) | skipped_tensors("head")


# timm's copy has the vision tower alone; OpenAI's file also has the text tower.
_URL = "https://huggingface.co/timm/vit_base_patch16_clip_224.openai/resolve/main/model.safetensors"

FAMILY = {
    "clip_b16": Backbone(
        CLIPVision,
        smallest=PATCH_SIZE,
        resize=224,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        weights=PublicWeights(tensor_names, _URL),
    )
}
