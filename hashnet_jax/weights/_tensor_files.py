"""Reads named tensors from PyTorch (.pth, .pt) and .safetensors files as NumPy arrays.

A .pth file is a pickle, which can execute code. It is read by torch's restricted unpickler, which
accepts only tensors and plain containers and rejects anything else. A .safetensors file cannot hold
code and does not need torch.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

# Older versions could be made to execute code despite weights_only=True: CVE-2025-32434 (before
# torch 2.6) and CVE-2026-24747 (before 2.10).
MIN_TORCH_VERSION = (2, 10)


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Reads all tensors in a file.

    Args:
      path: a .pth or .pt file written by ``torch.save(model.state_dict(), path)``, or a
        .safetensors file.

    Returns:
      ``{name: NumPy array}``; 16-bit floats are converted to float32.

    Raises:
      FileNotFoundError: if there is no such file.
      ModuleNotFoundError: if torch or safetensors is needed but missing, or torch is too old.
      ValueError: if the file is damaged, or holds anything but named tensors.

    Examples:
      >>> read_tensors("weights.h5")
      Traceback (most recent call last):
      ...
      ValueError: weights must be in a .pth, .pt or .safetensors file, got weights.h5.
    """
    path = Path(path)
    readers = {".pth": _read_torch, ".pt": _read_torch, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise ValueError(f"weights must be in a .pth, .pt or .safetensors file, got {path.name}.")
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}.")
    return readers[path.suffix](path)


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    torch = _import_torch(path)
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            "the file is damaged or holds objects other than tensors, which are never executed "
            f"({reason}): save the weights with torch.save(model.state_dict(), path)."
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        entries = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else ""
        raise ValueError(
            f"the file must hold named tensors, got a {type(content).__name__} ({entries}): save "
            "only the model's state_dict()."
        )
    return {name: _float32_if_half(tensor).numpy() for name, tensor in content.items()}


def _import_torch(path: Path) -> Any:
    """Imports torch if it is installed and its version is safe for reading pickles."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"torch is needed to read {path.name}: pip install 'torch>=2.10', or convert the file "
            "to .safetensors where torch is installed."
        ) from error
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < MIN_TORCH_VERSION:
        raise ModuleNotFoundError(
            f"torch must be >= 2.10 to read {path.name} without executing code in it, got "
            f"{torch.__version__}: pip install 'torch>=2.10', or convert it to .safetensors."
        )
    return torch


def _float32_if_half(tensor: Any) -> Any:
    # NumPy has no bfloat16.
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 2 else tensor


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"safetensors is needed to read {path.name}: pip install safetensors."
        ) from error
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"the file is damaged or not in safetensors format ({error}).") from error
    return {
        name: tensor.astype(np.float32) if tensor.dtype.itemsize == 2 else tensor
        for name, tensor in tensors.items()
    }
