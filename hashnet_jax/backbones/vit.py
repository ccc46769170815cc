"""Vision transformers ViT-S/16 and ViT-B/16: features are the class token after the last norm.

References:
  Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
  ICLR 2021, table 1; ViT-S: Steiner et al., "How to train your ViT?", TMLR 2022, table 2.
  Dropout and stochastic depth of their training are left out.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

PATCH = 16
DEPTH = 12
# width D and number of heads
SIZES = {"S": (384, 6), "B": (768, 12)}

small_normal = nn.initializers.truncated_normal(0.02)


class Attention(nn.Module):
    """Multi-head self-attention over [B, N, D]; the softmax is in float32."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        batch, tokens, width = x.shape
        shared = {"dtype": self.dtype, "kernel_init": small_normal}
        qkv = nn.Dense(3 * width, **shared, name="qkv")(x)
        # The order of axes is that of published weights: q, k, v, then heads, then channels.
        qkv = qkv.reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = jnp.einsum("bqhc,bkhc->bhqk", query, key, preferred_element_type=jnp.float32)
        weights = nn.softmax(scores * (width // self.heads) ** -0.5, axis=-1).astype(self.dtype)
        mixed = jnp.einsum("bhqk,bkhc->bqhc", weights, value)
        return nn.Dense(width, **shared, name="proj")(mixed.reshape(batch, tokens, width))


class Block(nn.Module):
    """Attention, then a perceptron four times as wide, each on a normalised input and added."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shared = {"dtype": self.dtype, "kernel_init": small_normal}
        width = x.shape[-1]
        x = x + Attention(self.heads, self.dtype, name="attn")(_layer_norm("norm1", self.dtype)(x))
        y = nn.Dense(4 * width, **shared, name="fc1")(_layer_norm("norm2", self.dtype)(x))
        y = nn.gelu(y, approximate=False)
        return x + nn.Dense(width, **shared, name="fc2")(y)


class ViT(nn.Module):
    """[B, H, W, 3] to features [B, 384] (S) or [B, 768] (B); H and W at least 16.

    The position embeddings belong to one image size: published weights of 224 pixels need 224.
    A rest of H or W that does not fill a patch is not looked at.
    """

    size: str
    dtype: Any = jnp.float32
    axis_name: str | None = None  # there are no batch statistics

    @nn.compact
    def __call__(self, images, train):
        width, heads = SIZES[self.size]
        x = nn.Conv(
            width,
            (PATCH, PATCH),
            (PATCH, PATCH),
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


def _layer_norm(name, dtype):
    return nn.LayerNorm(epsilon=1e-6, dtype=dtype, name=name)
