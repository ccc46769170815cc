"""The transformer encoder of ViT and of the foundation models.

ViT, DINOv2, DINOv3 and the vision towers of CLIP and SigLIP share their blocks up to the choices in
:class:`EncoderSpec`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._tensors import Target, dense_tensors, layer_norm_tensors
from hashnet_jax.layers import small_normal

DEPTH = 12
# Layers and arrays before the first block, of all transformers.
EMBEDDINGS = ("patch_embed", "cls_token", "registers", "pos_embed", "norm_pre")

exact_gelu = partial(nn.gelu, approximate=False)

# Rotates queries and keys by the positions of their tokens.
Rotation = Callable[[Float[Array, "B h T c"]], Float[Array, "B h T c"]]


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """Sizes of an encoder, and the choices in which encoders differ.

    Attributes:
      width: D, the number of channels of a token.
      heads: number of attention heads.
      epsilon: epsilon of the layer norms.
      activation: activation of the MLPs.
      layer_scale: whether each branch is multiplied by a learned factor per channel.
      key_bias: whether the keys have a bias.
      joint_qkv: whether the public weights have one tensor for queries, keys and values together.
    """

    width: int
    heads: int
    epsilon: float = 1e-6
    activation: Callable[[Array], Array] = exact_gelu
    layer_scale: bool = False
    key_bias: bool = True
    joint_qkv: bool = False


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, T, D]; the softmax is computed in float32."""

    spec: EncoderSpec
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T D"], rotate: Rotation | None = None
    ) -> Float[Array, "B T D"]:
        query, key, value = self._qkv(x)
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        mixed = attend(query, key, value).transpose(0, 2, 1, 3).reshape(x.shape)
        return self._dense(self.spec.width, "proj")(mixed)

    def _qkv(self, x: Float[Array, "B T D"]) -> list[Float[Array, "B h T c"]]:
        width, heads = self.spec.width, self.spec.heads
        if self.spec.joint_qkv:
            qkv = self._dense(3 * width, "qkv")(x)
            # Axes are ordered as in the published weights: q, k, v, then heads, then channels.
            qkv = qkv.reshape(*x.shape[:2], 3, heads, width // heads)
            return list(qkv.transpose(2, 0, 3, 1, 4))
        key = self._dense(width, "key", use_bias=self.spec.key_bias)
        parts = self._dense(width, "query")(x), key(x), self._dense(width, "value")(x)
        return [split_heads(part, heads) for part in parts]

    def _dense(self, features: int, name: str, *, use_bias: bool = True) -> nn.Dense:
        return nn.Dense(
            features, use_bias=use_bias, dtype=self.dtype, kernel_init=small_normal, name=name
        )


def split_heads(x: Float[Array, "B T D"], heads: int) -> Float[Array, "B h T c"]:
    """Splits the channels of each token into heads, and moves the heads before the tokens."""
    return x.reshape(*x.shape[:2], heads, x.shape[-1] // heads).transpose(0, 2, 1, 3)


def attend(
    query: Float[Array, "B h Q c"], key: Float[Array, "B h T c"], value: Float[Array, "B h T c"]
) -> Float[Array, "B h Q c"]:
    """Returns for each query the mean of the values, weighted by its similarity to their keys."""
    # With the heads before the tokens, both products are batched matrix products as they are. On a
    # CPU, they take half the time of products over the original order.
    scores = jnp.einsum("bhqc,bhkc->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = nn.softmax(scores * query.shape[-1] ** -0.5, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bhkc->bhqc", weights, value)


class Block(nn.Module):
    """A pre-norm residual block: attention, then an MLP."""

    spec: EncoderSpec
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T D"], rotate: Rotation | None = None
    ) -> Float[Array, "B T D"]:
        shared = (self.spec, self.dtype)
        y = Attention(*shared, name="attn")(layer_norm("norm1", *shared)(x), rotate)
        x = x + self._scaled("scale1", y)
        return x + self._scaled("scale2", mlp(layer_norm("norm2", *shared)(x), *shared))

    def _scaled(self, name: str, branch: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        if not self.spec.layer_scale:
            return branch
        scale = self.param(name, nn.initializers.constant(1e-5), (self.spec.width,))
        return branch * scale.astype(self.dtype).reshape(1, 1, -1)


def encode_tokens(
    x: Float[Array, "B T D"], spec: EncoderSpec, dtype: DTypeLike, rotate: Rotation | None = None
) -> Float[Array, "B T D"]:
    """Applies the blocks of an encoder as layers of the calling module."""
    for i in range(DEPTH):
        x = Block(spec, dtype, name=f"block{i + 1}")(x, rotate)
    return x


def mlp(x: Float[Array, "... D"], spec: EncoderSpec, dtype: DTypeLike) -> Float[Array, "... D"]:
    """Applies two dense layers of the calling module, with ``4 * D`` hidden units."""
    shared = {"dtype": dtype, "kernel_init": small_normal}
    hidden = spec.activation(nn.Dense(4 * spec.width, **shared, name="fc1")(x))
    return nn.Dense(spec.width, **shared, name="fc2")(hidden)


def layer_norm(name: str, spec: EncoderSpec, dtype: DTypeLike) -> nn.LayerNorm:
    """Returns a layer norm with the encoder's epsilon."""
    return nn.LayerNorm(epsilon=spec.epsilon, dtype=dtype, name=name)


def patch_conv(patch: int, width: int, dtype: DTypeLike, *, use_bias: bool = True) -> nn.Conv:
    """Returns the layer that embeds each whole patch; the remaining pixels are ignored."""
    return nn.Conv(
        width,
        (patch, patch),
        (patch, patch),
        padding="VALID",
        use_bias=use_bias,
        dtype=dtype,
        kernel_init=small_normal,
        name="patch_embed",
    )


def block_tensors(
    spec: EncoderSpec, file: str, names: Mapping[str, str]
) -> dict[str, Target | None]:
    """Maps the tensors of all blocks to :class:`Target` objects.

    Args:
      spec: the encoder's spec.
      file: prefix of the blocks' names in the file; block i is ``file.i``.
      names: names of a block's layers in the file, keyed by their paths in :class:`Block`.
    """
    targets: dict[str, Target | None] = {}
    for i in range(DEPTH):
        for ours, name in names.items():
            source, path = f"{file}.{i}.{name}", f"block{i + 1}/{ours}"
            if ours.startswith("norm"):
                targets |= layer_norm_tensors(source, path)
            elif ours.startswith("scale"):
                targets[source] = Target("params", path)
            else:
                targets |= dense_tensors(source, path)
        if not spec.key_bias:
            del targets[f"{file}.{i}.{names['attn/key']}.bias"]
    return targets
