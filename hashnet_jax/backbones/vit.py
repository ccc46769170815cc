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
    layer_norm_tensors,
    skipped_tensors,
)
from hashnet_jax.backbones._transformer import (
    EMBEDDINGS,
    EncoderSpec,
    block_tensors,
    encode_tokens,
    layer_norm,
    patch_conv,
)
from hashnet_jax.layers import small_normal

PATCH_SIZE = 16
ENCODERS = {
    "S": EncoderSpec(384, 6, joint_qkv=True),
    "B": EncoderSpec(768, 12, joint_qkv=True),
}


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
        spec = ENCODERS[self.size]
        width = spec.width
        x = patch_conv(PATCH_SIZE, width, self.dtype)(images.astype(self.dtype))
        x = x.reshape(x.shape[0], -1, width)
        token = self.param("cls_token", small_normal, (1, 1, width))
        token = jnp.broadcast_to(token.astype(self.dtype), (x.shape[0], 1, width))
        x = jnp.concatenate([token, x], axis=1)
        x = x + self.param("pos_embed", small_normal, (1, x.shape[1], width)).astype(self.dtype)
        x = encode_tokens(x, spec, self.dtype)
        return layer_norm("norm", spec, self.dtype)(x[:, 0])


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
    layers = {
        "norm1": "norm1",
        "attn/qkv": "attn.qkv",
        "attn/proj": "attn.proj",
        "norm2": "norm2",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
    }
    names |= block_tensors(ENCODERS["S"], "blocks", layers)  # those of B have the same names
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
        first_layers=EMBEDDINGS,
    )
    for size, (repository, sha256) in _REPOSITORIES.items()
}
