"""Files of named tensors as NumPy arrays: PyTorch's .pth and .pt, and .safetensors.

A .pth file is a pickle, and a pickle can name code to run. It is read by torch's restricted
unpickler, which knows tensors and plain containers only; what that refuses is refused here. A
.safetensors file holds no code at all and needs no torch.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

# Before, files could be made to run code in spite of weights_only=True: CVE-2025-32434 (before
# torch 2.6) and CVE-2026-24747 (before 2.10).
OLDEST_TORCH = (2, 10)


def read_tensors(path):
    """The tensors of a file.

    Args:
      path: a .pth or .pt file as ``torch.save(model.state_dict(), path)`` writes it, or a
        .safetensors file.

    Returns:
      ``{name: NumPy array}``; 16-bit floats as float32.

    Raises:
      FileNotFoundError: if there is no such file.
      ModuleNotFoundError: if torch or safetensors is needed and missing, or torch is too old.
      ValueError: if the file is damaged, or holds anything but tensors by name.

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
        raise FileNotFoundError(f"no file of weights at {path}.")
    return readers[path.suffix](path)


def sha256(path):
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_torch(path):
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"torch is needed to read {path.name}: pip install 'torch>=2.10', or convert the file "
            "to .safetensors where torch is installed."
        ) from error
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST_TORCH:
        raise ModuleNotFoundError(
            f"torch must be >= 2.10 to read {path.name} without running code in it, got "
            f"{torch.__version__}: pip install 'torch>=2.10', or convert it to .safetensors."
        )
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged pickle fails in any way
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            "the file must hold tensors alone and whole, as torch.save(model.state_dict(), path) "
            f"writes them; it is damaged or holds other objects, which are never run ({reason})."
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        entries = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else ""
        raise ValueError(
            f"the file must hold tensors by name, got a {type(content).__name__} ({entries}): save "
            "the model's state_dict() alone."
        )
    return {name: _float32_if_half(tensor).numpy() for name, tensor in content.items()}


def _float32_if_half(tensor):
    # NumPy has no bfloat16.
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 2 else tensor


def _read_safetensors(path):
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
        raise ValueError(f"the file is damaged or not of safetensors ({error}).") from error
    return {
        name: tensor.astype(np.float32) if tensor.dtype.itemsize == 2 else tensor
        for name, tensor in tensors.items()
    }
