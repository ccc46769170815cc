"""Foundation models of Hugging Face's transformers, for testing converted weights.

They are written to files with the names of the tensors in the public files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from tests.support.torch_models import randomize

# Width and number of heads.
SIZES = {"S": (384, 6), "B": (768, 12)}


def save_pretrained(model: Any, folder: Path) -> Path:
    """Writes all weights as a repository on the hub has them, and returns the file's path."""
    model.save_pretrained(folder)
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


def convnext() -> Any:
    # The authors' epsilon; that in transformers is 1e-12 for the last layer norm only.
    return transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(layer_norm_eps=1e-6)
    )


REFERENCES = {
    "dinov2_s14": Reference(lambda: dinov2("S")),
    "dinov2_b14": Reference(lambda: dinov2("B")),
    "convnext_t": Reference(convnext, lambda m, images: m.convnext(images).pooler_output),
}


def random_reference(backbone: str) -> Any:
    """Returns a model in evaluation mode with random weights, layer scales and positions."""
    model = REFERENCES[backbone].build()
    randomize(model)
    return model.eval()
