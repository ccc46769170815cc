"""DINOv3 ViT-S/16 and ViT-B/16, self-supervised; the features are the normalized class token.

Reference: Siméoni et al., "DINOv3", arXiv:2508.10104, 2025, section 3.2. The models pretrained on
LVD-1689M; the augmentation of positions during training, and stochastic depth, are omitted here.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import Target, conv_tensors, layer_norm_tensors
from hashnet_jax.backbones._transformer import (
    EMBEDDINGS,
    EncoderSpec,
    Rotation,
    block_tensors,
    encode_tokens,
    layer_norm,
    patch_conv,
)
from hashnet_jax.layers import small_normal

PATCH_SIZE = 16
REGISTERS = 4  # learned tokens that belong to no patch
ENCODERS = {
    "S": EncoderSpec(384, 6, epsilon=1e-5, layer_scale=True, key_bias=False),
    "B": EncoderSpec(768, 12, epsilon=1e-5, layer_scale=True, key_bias=False),
}


class DINOv3(nn.Module):
    """Maps images [B, H, W, 3] to features [B, D]; H and W must be at least 16.

    D is 384 for ViT-S/16, and 768 for ViT-B/16.

    Positions are relative to the image, so any image size has them. Rows and columns beyond the
    last whole patch are ignored.
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
        registers = self.param("registers", small_normal, (1, REGISTERS, width))
        first = jnp.concatenate([token, registers], axis=1).astype(self.dtype)
        first = jnp.broadcast_to(first, (batch, 1 + REGISTERS, width))
        x = jnp.concatenate([first, x.reshape(batch, rows * columns, width)], axis=1)
        rotate = rotation(rows, columns, width // spec.heads)
        x = encode_tokens(x, spec, self.dtype, rotate)
        return layer_norm("norm", spec, self.dtype)(x[:, 0])


def rotation(rows: int, columns: int, channels: int) -> Rotation:
    """Returns the rotary position embedding of a grid of patches.

    Channels c and c + C/2 of a patch are rotated by 2π p / 100^(4i/C). Here p is the row of the
    patch's centre for the first C/4 channels c, and its column for the others, between -1 and 1,
    and i counts the channels of each. The class token and the registers are not rotated.
    """
    frequencies = 100.0 ** -np.arange(0, 1, 4 / channels)
    centres = [2 * (np.arange(n) + 0.5) / n - 1 for n in (rows, columns)]
    positions = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = (2 * np.pi * positions * frequencies).reshape(1, 1, rows * columns, channels // 2)
    cos, sin = np.cos(angles), np.sin(angles)

    def rotate(x: Float[Array, "B h T c"]) -> Float[Array, "B h T c"]:
        first, patches = x[:, :, : 1 + REGISTERS], x[:, :, 1 + REGISTERS :]
        c, s = jnp.asarray(cos, x.dtype), jnp.asarray(sin, x.dtype)
        a, b = jnp.split(patches, 2, axis=-1)
        rotated = jnp.concatenate([a * c - b * s, b * c + a * s], axis=-1)
        return jnp.concatenate([first, rotated], axis=2)

    return rotate


def tensor_names(size: str) -> dict[str, Target | None]:
    """Maps the tensor names of ``facebook/dinov3-vit*`` to :class:`Target` objects or None.

    Examples:
      >>> tensor_names("S")["layer.0.mlp.up_proj.weight"].path
      'block1/fc1/kernel'
    """
    names: dict[str, Target | None] = {
        "embeddings.cls_token": Target("params", "cls_token"),
        "embeddings.register_tokens": Target("params", "registers"),
        "embeddings.mask_token": None,  # replaces masked patches, in the self-supervised training
    }
    names |= conv_tensors("embeddings.patch_embeddings", "patch_embed", bias=True)
    names |= layer_norm_tensors("norm", "norm")
    layers = {
        "norm1": "norm1",
        "attn/query": "attention.q_proj",
        "attn/key": "attention.k_proj",
        "attn/value": "attention.v_proj",
        "attn/proj": "attention.o_proj",
        "scale1": "layer_scale1.lambda1",
        "norm2": "norm2",
        "fc1": "mlp.up_proj",
        "fc2": "mlp.down_proj",
        "scale2": "layer_scale2.lambda1",
    }
    return names | block_tensors(ENCODERS[size], "layer", layers)


# The SHA-256 of the file for each size. The Hub serves the files only to people who have accepted
# Meta's licence there.
_SHA256 = {
    "S": "4610ad75edef83e75afdebf162d148dc628045ea6cbb83d67d4708c709c4f91d",
    "B": "9a21ac3df0c63839d62612dda6f454d816c25611cc7a52966ed5a5a94921dc8b",
}

# As by default in transformers' DINOv3ViTImageProcessor: the whole image is resized to 224 pixels,
# with ImageNet's mean and std. timm takes 256 pixels.
FAMILY = {
    f"dinov3_{size.lower()}16": Backbone(
        partial(DINOv3, size),
        smallest=PATCH_SIZE,
        resize=224,
        weights=PublicWeights(
            partial(tensor_names, size),
            f"https://huggingface.co/facebook/dinov3-vit{size.lower()}16-pretrain-lvd1689m"
            "/resolve/main/model.safetensors",
            sha256=sha256,
        ),
        first_layers=EMBEDDINGS,
    )
    for size, sha256 in _SHA256.items()
}
