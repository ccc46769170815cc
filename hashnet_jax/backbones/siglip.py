"""SigLIP's vision tower ViT-B/16, trained by Google to match images with their captions.

The features are the output of the attention pooling, the embedding that captions are compared with.

Reference: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._positions import resize_positions
from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import (
    Target,
    conv_tensors,
    dense_tensors,
    layer_norm_tensors,
    skipped_tensors,
)
from hashnet_jax.backbones._transformer import (
    EMBEDDINGS,
    EncoderSpec,
    attend,
    block_tensors,
    encode_tokens,
    layer_norm,
    mlp,
    patch_conv,
    split_heads,
)
from hashnet_jax.layers import small_normal

PATCH_SIZE = 16
TRAINED_GRID = 14  # patches per side of 224 pixels
ENCODER = EncoderSpec(768, 12, activation=partial(nn.gelu, approximate=True))


class AttentionPooling(nn.Module):
    """Pools tokens by attention with a single learned query, followed by an MLP."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B D"]:
        batch, _, width = x.shape
        kernel = self.param("qkv_kernel", small_normal, (width, 3 * width)).astype(self.dtype)
        bias = self.param("qkv_bias", nn.initializers.zeros, (3 * width,)).astype(self.dtype)
        probe = self.param("probe", small_normal, (1, 1, width)).astype(self.dtype)
        query = probe @ kernel[:, :width] + bias[:width].reshape(1, 1, -1)
        query = jnp.broadcast_to(query, (batch, 1, width))
        both = x @ kernel[:, width:] + bias[width:].reshape(1, 1, -1)
        parts = query, *jnp.split(both, 2, axis=-1)
        pooled = attend(*(split_heads(part, ENCODER.heads) for part in parts))
        pooled = pooled.reshape(batch, width)
        pooled = nn.Dense(width, dtype=self.dtype, kernel_init=small_normal, name="proj")(pooled)
        y = layer_norm("norm", ENCODER, self.dtype)(pooled)
        return pooled + mlp(y, ENCODER, self.dtype)


class SigLIPVision(nn.Module):
    """Maps images [B, H, W, 3] to features [B, 768]; H and W must be at least 16.

    The position embeddings are those of 224 pixels; they are resampled to other image sizes. Rows
    and columns beyond the last whole patch are ignored.
    """

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None  # unused: there are no batch statistics

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        x = patch_conv(PATCH_SIZE, ENCODER.width, self.dtype)(images.astype(self.dtype))
        batch, rows, columns, width = x.shape
        positions = self.param("pos_embed", small_normal, (TRAINED_GRID**2, width))[None]
        positions = resize_positions(positions, (rows, columns))
        x = x.reshape(batch, rows * columns, width) + positions.astype(self.dtype)
        x = encode_tokens(x, ENCODER, self.dtype)
        x = layer_norm("norm", ENCODER, self.dtype)(x)
        return AttentionPooling(self.dtype, name="pool")(x)


# Layers of a block, in the vision tower and in the text tower.
_LAYERS = {
    "norm1": "layer_norm1",
    "attn/query": "self_attn.q_proj",
    "attn/key": "self_attn.k_proj",
    "attn/value": "self_attn.v_proj",
    "attn/proj": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def tensor_names() -> dict[str, Target | None]:
    """Maps tensor names of ``google/siglip-base-*`` to :class:`Target` objects or None.

    Examples:
      >>> names = tensor_names()
      >>> names["vision_model.head.probe"].path, names["logit_bias"]
      ('pool/probe', None)
    """
    file, head = "vision_model", "vision_model.head"
    names: dict[str, Target | None] = {
        f"{file}.embeddings.position_embedding.weight": Target("params", "pos_embed"),
        f"{head}.probe": Target("params", "pool/probe"),
        f"{head}.attention.in_proj_weight": Target("params", "pool/qkv_kernel", axes=(1, 0)),
        f"{head}.attention.in_proj_bias": Target("params", "pool/qkv_bias"),
    }
    names |= conv_tensors(f"{file}.embeddings.patch_embedding", "patch_embed", bias=True)
    names |= block_tensors(ENCODER, f"{file}.encoder.layers", _LAYERS)
    names |= layer_norm_tensors(f"{file}.post_layernorm", "norm")
    names |= dense_tensors(f"{head}.attention.out_proj", "pool/proj")
    names |= layer_norm_tensors(f"{head}.layernorm", "pool/norm")
    for dense in ("fc1", "fc2"):
        names |= dense_tensors(f"{head}.mlp.{dense}", f"pool/{dense}")
    return names | _text_tower()


def _text_tower() -> dict[str, Target | None]:
    """Maps the tensors of the text tower, and of the loss, to None."""
    names: dict[str, Target | None] = dict.fromkeys(("logit_scale", "logit_bias"))
    for embedding in ("token_embedding", "position_embedding"):
        names[f"text_model.embeddings.{embedding}.weight"] = None
    names |= dict.fromkeys(block_tensors(ENCODER, "text_model.encoder.layers", _LAYERS))
    return (
        names | skipped_tensors("text_model.final_layer_norm") | skipped_tensors("text_model.head")
    )


# As by default in transformers' SiglipImageProcessor: the whole image is resized to 224 pixels,
# with mean and std 0.5. timm crops to 0.9 of the resized image.
FAMILY = {
    "siglip_b16": Backbone(
        SigLIPVision,
        smallest=PATCH_SIZE,
        resize=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        weights=PublicWeights(
            tensor_names,
            "https://huggingface.co/google/siglip-base-patch16-224/resolve/main/model.safetensors",
            sha256="2c63cb7d1f2e95ba501893cbb8faeb4ea9a3af295498d35097126228659c2af8",
        ),
        first_layers=EMBEDDINGS,
    )
}
