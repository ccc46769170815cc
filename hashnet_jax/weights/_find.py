"""Finds pretrained weights for a backbone."""

import os
from pathlib import Path

from hashnet_jax.weights._fetch import fetch
from hashnet_jax.weights._model_path import MODEL_FILE


def find_weights(backbone: str, pretrained: str | os.PathLike[str] = "auto") -> Path:
    """Finds the weights file that ``pretrained`` refers to.

    Args:
      backbone: name of a backbone in ``hashnet_jax.backbones.BACKBONES``.
      pretrained: the path to a weights file; the folder of a finished run, whose `model.npz` is
        used; or ``"auto"`` for the published weights, see :func:`fetch`.

    Returns:
      The path to an existing file.

    Raises:
      FileNotFoundError: if there is no weights file at the path.
      ValueError, ModuleNotFoundError, ConnectionError: with "auto"; see :func:`fetch`.

    Examples:
      >>> find_weights("resnet18", "none.pth")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no weights file at none.pth. `pretrained` must be the path to a .pth or ...
    """
    if pretrained == "auto":
        return fetch(backbone)
    path = Path(pretrained)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights file at {path}. `pretrained` must be the path to a .pth or .safetensors "
            "file, the folder of a finished run, 'auto' or 'none'."
        )
    return path
