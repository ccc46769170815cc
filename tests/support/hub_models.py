"""Foundation models of Hugging Face's transformers, for testing converted weights.

They are written to files with the names of the tensors in the public files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import save_file

from tests.support.torch_mobile import MobileNetV3Large
from tests.support.torch_models import randomize

# Width and number of heads.
SIZES = {"S": (384, 6), "B": (768, 12)}


def save_pretrained(model: Any, folder: Path) -> Path:
    """Writes all weights as a repository on the hub has them, and returns the file's path."""
    model.save_pretrained(folder)
    return folder / "model.safetensors"


def save_torch(model: Any, folder: Path) -> Path:
    """Writes all weights as torchvision does."""
    torch.save(model.state_dict(), folder / "model.pth")
    return folder / "model.pth"


def save_timm(model: Any, folder: Path) -> Path:
    """Writes the weights of CLIP's vision tower with the names in timm's copy, and a projection."""
    old = model.state_dict()
    new = {
        "cls_token": old.pop("embeddings.class_embedding").reshape(1, 1, -1),
        "pos_embed": old.pop("embeddings.position_embedding.weight")[None],
        "patch_embed.proj.weight": old.pop("embeddings.patch_embedding.weight"),
        "head.weight": torch.zeros(512, 768),
        "head.bias": torch.zeros(512),
    }
    for kind in ("weight", "bias"):
        for i in range(12):
            parts = [old.pop(f"encoder.layers.{i}.self_attn.{part}_proj.{kind}") for part in "qkv"]
            new[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(parts)
    renamed = {
        "encoder.layers": "blocks",
        "self_attn.out_proj": "attn.proj",
        "layer_norm": "norm",
        "pre_layrnorm": "norm_pre",
        "post_layernorm": "norm",
    }
    for name, tensor in old.items():
        for theirs, timms in renamed.items():
            name = name.replace(theirs, timms)
        new[name] = tensor
    save_file(new, folder / "model.safetensors")
    return folder / "model.safetensors"


class Reference(NamedTuple):
    """How to build a model, compute its features, and write its public weights to a folder."""

    build: Callable[[], Any]
    features: Callable[[Any, torch.Tensor], torch.Tensor] = lambda model, images: (
        model(images).pooler_output
    )
    write: Callable[[Any, Path], Path] = save_pretrained


def dinov2(size: str) -> Any:
    width, heads = SIZES[size]
    config = transformers.Dinov2Config(
        hidden_size=width, num_attention_heads=heads, image_size=518, patch_size=14
    )
    return transformers.Dinov2Model(config)


def dinov3(size: str) -> Any:
    width, heads = SIZES[size]
    config = transformers.DINOv3ViTConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=heads,
        num_register_tokens=4,
    )
    return transformers.DINOv3ViTModel(config)


def convnext() -> Any:
    # The authors' epsilon; that in transformers is 1e-12 for the last layer norm only.
    return transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(layer_norm_eps=1e-6)
    )


def siglip() -> Any:
    """Returns both towers; the text tower has all its tensors, but is narrow."""
    text = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = transformers.SiglipConfig(text_config=text, vision_config={})
    return transformers.SiglipModel(config)


def resampled(model: Any, images: torch.Tensor) -> torch.Tensor:
    return model(images, interpolate_pos_encoding=True).pooler_output


REFERENCES = {
    "dinov2_s14": Reference(lambda: dinov2("S")),
    "dinov2_b14": Reference(lambda: dinov2("B")),
    "convnext_t": Reference(convnext, lambda m, images: m.convnext(images).pooler_output),
    "clip_b16": Reference(
        lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(patch_size=16)),
        resampled,
        save_timm,
    ),
    "siglip_b16": Reference(siglip, lambda m, images: resampled(m.vision_model, images)),
    "dinov3_s16": Reference(lambda: dinov3("S")),
    "dinov3_b16": Reference(lambda: dinov3("B")),
    "mobilenetv3_large": Reference(MobileNetV3Large, lambda m, images: m(images), save_torch),
}


def random_reference(backbone: str) -> Any:
    """Returns a model in evaluation mode with random weights, layer scales and positions."""
    model = REFERENCES[backbone].build()
    randomize(model)
    return model.eval()
