"""Vision transformers ViT-S/16 and ViT-B/16, with the normalized class token as the features.

References:
  Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
  ICLR 2021, table 1; ViT-S: Steiner et al., "How to train your ViT?", TMLR 2022, table 2. Dropout
  and stochastic depth are omitted here.
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
    conv_tensors,
    dense_tensors,
    layer_norm_tensors,
    skipped_tensors,
)

PATCH_SIZE = 16
DEPTH = 12
# Width D and number of heads, keyed by size.
WIDTH_AND_HEADS = {"S": (384, 6), "B": (768, 12)}

small_normal = nn.initializers.truncated_normal(0.02)


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, T, D]; the softmax is computed in float32."""

    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        batch, tokens, width = x.shape
        shared = {"dtype": self.dtype, "kernel_init": small_normal}
        qkv = nn.Dense(3 * width, **shared, name="qkv")(x)
        # Axes are ordered as in the published weights: q, k, v, then heads, then channels.
        qkv = qkv.reshape(batch, tokens, 3, self.heads, width // self.heads)
        # With the heads before the tokens, both products are batched matrix products as they are.
        # On a CPU, they take half the time of products over the original order.
        query, key, value = qkv.transpose(2, 0, 3, 1, 4)
        scores = jnp.einsum("bhqc,bhkc->bhqk", query, key, preferred_element_type=jnp.float32)
        weights = nn.softmax(scores * (width // self.heads) ** -0.5, axis=-1).astype(self.dtype)
        mixed = jnp.einsum("bhqk,bhkc->bhqc", weights, value).transpose(0, 2, 1, 3)
        return nn.Dense(width, **shared, name="proj")(mixed.reshape(batch, tokens, width))


class Block(nn.Module):
    """A pre-norm residual block: attention, then an MLP with ``4 * D`` hidden units."""

    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        shared = {"dtype": self.dtype, "kernel_init": small_normal}
        width = x.shape[-1]
        x = x + Attention(self.heads, self.dtype, name="attn")(_layer_norm("norm1", self.dtype)(x))
        y = nn.Dense(4 * width, **shared, name="fc1")(_layer_norm("norm2", self.dtype)(x))
        y = nn.gelu(y, approximate=False)
        return x + nn.Dense(width, **shared, name="fc2")(y)


class ViT(nn.Module):
    """Maps images [B, H, W, 3] to features [B, D]; H and W must be at least 16.

    D is 384 for ViT-S/16, and 768 for ViT-B/16.

    Position embeddings are tied to one image size, so weights published for 224 pixels require that
    size. Rows and columns beyond the last whole patch are ignored.
    """

    size: str
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None  # unused: there are no batch statistics

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B D"]:
        width, heads = WIDTH_AND_HEADS[self.size]
        x = nn.Conv(
            width,
            (PATCH_SIZE, PATCH_SIZE),
            (PATCH_SIZE, PATCH_SIZE),
            padding="VALID",
            dtype=self.dtype,
            kernel_init=small_normal,
            name="patch_embed",
        )(images.astype(self.dtype))
        x = x.reshape(x.shape[0], -1, width)
        token = self.param("cls_token", small_normal, (1, 1, width))
        token = jnp.broadcast_to(token.astype(self.dtype), (x.shape[0], 1, width))
        x = jnp.concatenate([token, x], axis=1)
        x = x + self.param("pos_embed", small_normal, (1, x.shape[1], width)).astype(self.dtype)
        for i in range(DEPTH):
            x = Block(heads, self.dtype, name=f"block{i + 1}")(x)
        return _layer_norm("norm", self.dtype)(x[:, 0])


def _layer_norm(name: str, dtype: DTypeLike) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-6, dtype=dtype, name=name)


def tensor_names() -> dict[str, Target | None]:
    """Maps tensor names of timm's VisionTransformer (any width) to :class:`Target` objects or None.

    Examples:
      >>> tensor_names()["blocks.0.attn.qkv.weight"].path
      'block1/attn/qkv/kernel'
    """
    names: dict[str, Target | None] = {
        name: Target("params", name) for name in ("cls_token", "pos_embed")
    }
    names |= conv_tensors("patch_embed.proj", "patch_embed", bias=True)
    names |= layer_norm_tensors("norm", "norm")
    for i in range(DEPTH):
        file, ours = f"blocks.{i}", f"block{i + 1}"
        for norm in ("norm1", "norm2"):
            names |= layer_norm_tensors(f"{file}.{norm}", f"{ours}/{norm}")
        for dense in ("qkv", "proj"):
            names |= dense_tensors(f"{file}.attn.{dense}", f"{ours}/attn/{dense}")
        for dense in ("fc1", "fc2"):
            names |= dense_tensors(f"{file}.mlp.{dense}", f"{ours}/{dense}")
    return names | skipped_tensors("head")


# timm's weights from "How to train your ViT?", with mean and std 0.5 and a centre crop of 0.9, and
# the SHA-256 of each file, which at least two projects list.
_REPOSITORIES = {
    "S": (
        "vit_small_patch16_224.augreg_in21k_ft_in1k",
        "79c03c635cdfd798a364a9d8c4e5c0b7255b975ea2c9616046d4f77ab01435aa",
    ),
    "B": (
        "vit_base_patch16_224.augreg2_in21k_ft_in1k",
        "32aa17d6e17b43500f531d5f6dc9bc93e56ed8841b8a75682e1bb295d722405b",
    ),
}

FAMILY = {
    f"vit_{size.lower()}16": Backbone(
        partial(ViT, size),
        smallest=16,
        resize=248,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        weights=PublicWeights(
            tensor_names,
            f"https://huggingface.co/timm/{repository}/resolve/main/model.safetensors",
            sha256=sha256,
        ),
    )
    for size, (repository, sha256) in _REPOSITORIES.items()
}
