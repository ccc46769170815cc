"""Foundation models of Hugging Face's transformers, for testing converted weights.

They are written to files with the names of the tensors in the public files.
"""

import re
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


def renamed(tensors: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Replaces each regular expression in the names of the tensors, in the given order."""
    new = {}
    for name, tensor in tensors.items():
        for pattern, replacement in names.items():
            name = re.sub(pattern, replacement, name)
        new[name] = tensor.contiguous()
    assert len(new) == len(tensors)
    return new


def save_openai(model: Any, folder: Path) -> Path:
    """Writes the weights of CLIP's vision tower with OpenAI's names, and stand-ins for the rest."""
    tensors = model.state_dict()
    for kind in ("weight", "bias"):
        for i in range(12):
            block = f"encoder.layers.{i}.self_attn"
            parts = [tensors.pop(f"{block}.{part}_proj.{kind}") for part in "qkv"]
            tensors[f"{block}.in_proj_{kind}"] = torch.cat(parts)
    names = {
        r"^embeddings\.class_embedding$": "class_embedding",
        r"^embeddings\.position_embedding\.weight$": "positional_embedding",
        r"^embeddings\.patch_embedding": "conv1",
        r"^encoder\.layers": "transformer.resblocks",
        r"self_attn\.": "attn.",
        r"layer_norm": "ln_",
        r"mlp\.fc1": "mlp.c_fc",
        r"mlp\.fc2": "mlp.c_proj",
        r"pre_layrnorm": "ln_pre",
        r"post_layernorm": "ln_post",
        r"^": "visual.",
    }
    new = renamed(tensors, names)
    text = {name.removeprefix("visual."): torch.zeros(1) for name in new if ".resblocks." in name}
    text |= {f"ln_final.{kind}": torch.zeros(1) for kind in ("weight", "bias")}
    others = ("token_embedding.weight", "positional_embedding", "text_projection", "logit_scale")
    text |= {name: torch.zeros(1) for name in (*others, "visual.proj")}
    save_file(new | text, folder / "open_clip_model.safetensors")
    return folder / "open_clip_model.safetensors"


def save_convnext(model: Any, folder: Path) -> Path:
    """Writes the weights of ConvNeXt with timm's names."""
    names = {
        r"^convnext\.embeddings\.patch_embeddings": "stem.0",
        r"^convnext\.embeddings\.layernorm": "stem.1",
        r"^convnext\.encoder\.": "",
        r"downsampling_layer": "downsample",
        r"(stages\.\d)\.layers": r"\1.blocks",
        r"dwconv": "conv_dw",
        r"pwconv": "mlp.fc",
        r"layer_scale_parameter": "gamma",
        r"^convnext\.layernorm": "head.norm",
        r"layernorm": "norm",
        r"^classifier": "head.fc",
    }
    save_file(renamed(model.state_dict(), names), folder / "model.safetensors")
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
    "convnext_t": Reference(
        convnext, lambda m, images: m.convnext(images).pooler_output, save_convnext
    ),
    "clip_b16": Reference(
        lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(patch_size=16)),
        resampled,
        save_openai,
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
    if isinstance(model, MobileNetV3Large):
        model.damp(0.6)
    return model.eval()
