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

from hashnet_jax.backbones._positions import add_positions
from hashnet_jax.backbones._registry import Backbone, PublicWeights
from hashnet_jax.backbones._tensors import Target, conv_tensors, layer_norm_tensors
from hashnet_jax.backbones._transformer import (
    EMBEDDINGS,
    EncoderSpec,
    block_tensors,
    encode_tokens,
    layer_norm,
    patch_conv,
)
from hashnet_jax.layers import small_normal

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
        token = self.param("cls_token", small_normal, (1, 1, spec.width))
        shape = (1, 1 + TRAINED_GRID**2, spec.width)
        x = add_positions(x, token, self.param("pos_embed", small_normal, shape))
        x = encode_tokens(x, spec, self.dtype)
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
        "attn/proj": "attention.output.dense",
        "scale1": "layer_scale1.lambda1",
        "norm2": "norm2",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
        "scale2": "layer_scale2.lambda1",
    }
    return names | block_tensors(ENCODERS[size], "encoder.layer", layers)


# The files in `facebook/dinov2-small` and `-base` on the Hugging Face Hub, and the SHA-256 of each.
_HUB_FILES = {
    "S": ("dinov2-small", "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
    "B": ("dinov2-base", "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
}

# As in the repositories' preprocessor_config.json: images are resized to 256 pixels and cropped to
# 224, with ImageNet's mean and std. timm takes 518 pixels, the size at the end of the training.
FAMILY = {
    f"dinov2_{size.lower()}14": Backbone(
        partial(DINOv2, size),
        smallest=PATCH_SIZE,
        weights=PublicWeights(
            partial(tensor_names, size),
            f"https://huggingface.co/facebook/{repository}/resolve/main/model.safetensors",
            sha256=sha256,
        ),
        first_layers=EMBEDDINGS,
    )
    for size, (repository, sha256) in _HUB_FILES.items()
}
