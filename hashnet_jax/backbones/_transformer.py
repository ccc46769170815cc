"""The transformer encoder and the position embeddings of the ViT-like foundation models.

DINOv2, DINOv3 and the vision towers of CLIP and SigLIP share their blocks up to the choices in
:class:`EncoderSpec`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._tensors import Target, dense_tensors, layer_norm_tensors

DEPTH = 12

small_normal = nn.initializers.truncated_normal(0.02)
exact_gelu = partial(nn.gelu, approximate=False)

# Rotates queries and keys by the positions of their tokens.
Rotation = Callable[[Float[Array, "B T h c"]], Float[Array, "B T h c"]]


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
        batch, tokens, width = x.shape
        heads = (batch, tokens, self.spec.heads, width // self.spec.heads)
        query, key, value = (part.reshape(heads) for part in self._qkv(x))
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        mixed = attend(query, key, value).reshape(batch, tokens, width)
        return self._dense(width, "out")(mixed)

    def _qkv(self, x: Float[Array, "B T D"]) -> list[Float[Array, "B T D"]]:
        width = x.shape[-1]
        if self.spec.joint_qkv:
            return jnp.split(self._dense(3 * width, "qkv")(x), 3, axis=-1)
        key = self._dense(width, "key", use_bias=self.spec.key_bias)
        return [self._dense(width, "query")(x), key(x), self._dense(width, "value")(x)]

    def _dense(self, features: int, name: str, *, use_bias: bool = True) -> nn.Dense:
        return nn.Dense(
            features, use_bias=use_bias, dtype=self.dtype, kernel_init=small_normal, name=name
        )


def attend(
    query: Float[Array, "B Q h c"], key: Float[Array, "B T h c"], value: Float[Array, "B T h c"]
) -> Float[Array, "B Q h c"]:
    """Returns for each query the mean of the values, weighted by its similarity to their keys."""
    scores = jnp.einsum("bqhc,bkhc->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = nn.softmax(scores * query.shape[-1] ** -0.5, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhc->bqhc", weights, value)


class MLP(nn.Module):
    """Two dense layers with ``4 * D`` hidden units."""

    spec: EncoderSpec
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        shared = {"dtype": self.dtype, "kernel_init": small_normal}
        x = self.spec.activation(nn.Dense(4 * self.spec.width, **shared, name="fc1")(x))
        return nn.Dense(self.spec.width, **shared, name="fc2")(x)


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
        y = MLP(*shared, name="mlp")(layer_norm("norm2", *shared)(x))
        return x + self._scaled("scale2", y)

    def _scaled(self, name: str, branch: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        if not self.spec.layer_scale:
            return branch
        scale = self.param(name, nn.initializers.constant(1e-5), (self.spec.width,))
        return branch * scale.astype(self.dtype).reshape(1, 1, -1)


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


def resize_positions(
    positions: Float[Array, "1 T D"], grid: tuple[int, int]
) -> Float[Array, "1 N D"]:
    """Resamples the embeddings of a square grid of patches bicubically to another grid.

    Agrees with ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)``, which the
    authors of the models use: the kernel has a = -0.75 (that of ``jax.image.resize`` has -0.5),
    without antialiasing, and the edges are repeated.

    Args:
      positions: ``[1, G * G, D]``, row by row.
      grid: number of rows and columns of patches of the images.

    Returns:
      ``[1, rows * columns, D]``.
    """
    side = round(positions.shape[1] ** 0.5)
    if grid == (side, side):
        return positions
    rows, columns = (jnp.asarray(bicubic_matrix(side, n)) for n in grid)
    square = positions.reshape(side, side, -1)
    resized = jnp.einsum("ri,cj,ijd->rcd", rows, columns, square, precision="highest")
    return resized.reshape(1, grid[0] * grid[1], -1)


def bicubic_matrix(inputs: int, outputs: int) -> Float[np.ndarray, "outputs inputs"]:
    """Returns the matrix that resamples ``inputs`` values to ``outputs`` values, in float32.

    Examples:
      >>> bicubic_matrix(2, 1)
      array([[0.5, 0.5]], dtype=float32)
    """
    a = -0.75
    centres = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    matrix = np.zeros((outputs, inputs), np.float32)
    for tap in range(-1, 3):
        neighbours = np.floor(centres).astype(int) + tap
        d = np.abs(centres - neighbours)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        columns = np.clip(neighbours, 0, inputs - 1)
        np.add.at(matrix, (np.arange(outputs), columns), np.where(d <= 1, near, far))
    return matrix


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
