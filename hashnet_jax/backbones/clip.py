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

from hashnet_jax.backbones._positions import add_positions
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
        token = self.param("cls_token", small_normal, (ENCODER.width,)).reshape(1, 1, -1)
        shape = (1 + TRAINED_GRID**2, ENCODER.width)
        x = add_positions(x, token, self.param("pos_embed", small_normal, shape)[None])
        x = layer_norm("norm_pre", ENCODER, self.dtype)(x)
        x = encode_tokens(x, ENCODER, self.dtype)
        return layer_norm("norm", ENCODER, self.dtype)(x[:, 0])


# Layers of a block, in the vision tower and in the text tower.
_LAYERS = {
    "norm1": "ln_1",
    "attn/qkv": "attn.in_proj",
    "attn/proj": "attn.out_proj",
    "norm2": "ln_2",
    "fc1": "mlp.c_fc",
    "fc2": "mlp.c_proj",
}


def tensor_names() -> dict[str, Target | None]:
    """Maps OpenAI's tensor names of CLIP to :class:`Target` objects or None.

    Examples:
      >>> names = tensor_names()
      >>> names["visual.ln_pre.weight"].path, names["logit_scale"]
      ('norm_pre/scale', None)
    """
    names: dict[str, Target | None] = {
        "visual.class_embedding": Target("params", "cls_token"),
        "visual.positional_embedding": Target("params", "pos_embed"),
        "visual.proj": None,
    }
    names |= conv_tensors("visual.conv1", "patch_embed")
    names |= layer_norm_tensors("visual.ln_pre", "norm_pre")
    names |= layer_norm_tensors("visual.ln_post", "norm")
    return names | _blocks("visual.transformer.resblocks") | _text_tower()


def _blocks(file: str) -> dict[str, Target | None]:
    # In torch.nn.MultiheadAttention, the joint projection is no layer of its own.
    tensors = block_tensors(ENCODER, file, _LAYERS)
    return {name.replace(".in_proj.", ".in_proj_"): target for name, target in tensors.items()}


def _text_tower() -> dict[str, Target | None]:
    """Maps the tensors of the text tower, and of the loss, to None."""
    names: dict[str, Target | None] = dict.fromkeys(
        ("positional_embedding", "text_projection", "token_embedding.weight", "logit_scale")
    )
    return names | dict.fromkeys(_blocks("transformer.resblocks")) | skipped_tensors("ln_final")


# OpenAI's weights of both towers in the safetensors format, and their SHA-256. As by default
# in transformers' CLIPImageProcessor: images are resized to 224 pixels. timm crops to 0.9 of the
# resized image.
FAMILY = {
    "clip_b16": Backbone(
        CLIPVision,
        smallest=PATCH_SIZE,
        resize=224,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        weights=PublicWeights(
            tensor_names,
            "https://huggingface.co/timm/vit_base_patch16_clip_224.openai/resolve/main"
            "/open_clip_model.safetensors",
            sha256="4b8699299b1e8997753c64b052ba32031449d5d853f55a039148560ee02b820f",
        ),
        first_layers=EMBEDDINGS,
    )
}
