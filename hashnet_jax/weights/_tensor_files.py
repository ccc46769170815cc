"""Reads named tensors from PyTorch (.pth, .pt) and .safetensors files as NumPy arrays.

A .pth file is a pickle, which can execute code. It is read by torch's restricted unpickler, which
accepts only tensors and plain containers. A .safetensors file cannot contain code, and reading it
does not require torch.
"""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from hashnet_jax.distributed.reading import damage_named

# Older versions could be made to execute code despite weights_only=True: CVE-2025-32434 (before
# torch 2.6) and CVE-2026-24747 (before 2.10).
MIN_TORCH_VERSION = (2, 10)

_TORCH = "a PyTorch file that contains only tensors"
_SAVE_AGAIN = "save only the weights, with torch.save(model.state_dict(), path)"


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
      ValueError: if the file is damaged or contains anything but named tensors; the message names
        the file.

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
    with damage_named(path, _TORCH, _SAVE_AGAIN):
        if zipfile.is_zipfile(path):
            _check_archive(path)
        content = torch.load(path, weights_only=True, map_location="cpu")
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        entries = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else ""
        raise ValueError(
            f"{path} must contain named tensors, got a {type(content).__name__} ({entries}). "
            "Save only the model's state_dict()."
        )
    with damage_named(path, _TORCH, _SAVE_AGAIN):
        for name, tensor in content.items():
            _check_size(name, tensor)
        return {name: _float32_if_half(tensor).numpy() for name, tensor in content.items()}


def _check_archive(path: Path) -> None:
    """Rejects an archive that is compressed, or whose members are larger in total than the file."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its members are compressed, but torch.save writes uncompressed members")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("the total size of its members exceeds the file size")


def _check_size(name: str, tensor: Any) -> None:
    """Raises a ValueError if a tensor has less data than its shape requires.

    A copy of such a tensor might not fit in memory.
    """
    n_bytes = tensor.numel() * tensor.element_size()
    if n_bytes > tensor.untyped_storage().nbytes():
        raise ValueError(
            f"{name!r} has the shape {list(tensor.shape)}, but only "
            f"{tensor.untyped_storage().nbytes():,} bytes of data"
        )


def _import_torch(path: Path) -> Any:
    """Imports torch if it is installed and its version is safe for reading pickles."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"torch is needed to read {path.name}. Run `pip install 'torch>=2.10'`, or convert the "
            "file to .safetensors on a machine that has torch."
        ) from error
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < MIN_TORCH_VERSION:
        raise ModuleNotFoundError(
            f"torch must be >= 2.10 to read {path.name} without executing code in it, got "
            f"{torch.__version__}. Run `pip install 'torch>=2.10'`, or convert the file to "
            ".safetensors."
        )
    return torch


def _float32_if_half(tensor: Any) -> Any:
    # NumPy has no bfloat16.
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 2 else tensor


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors.numpy import load_file
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"safetensors is needed to read {path.name}. Run `pip install safetensors`."
        ) from error
    # Before it reads any data, safetensors checks the sizes in the header against the file size.
    with damage_named(path, "a safetensors file", "download or write it again"):
        return {
            name: tensor.astype(np.float32) if tensor.dtype.itemsize == 2 else tensor
            for name, tensor in load_file(path).items()
        }
