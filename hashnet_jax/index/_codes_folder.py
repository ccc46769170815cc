"""Reads finished codes folders, and checks which network encoded them."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.files import sha256
from hashnet_jax.index._manifest import CODES, IDS, MANIFEST, Manifest
from hashnet_jax.weights import MODEL_FILE


def check_same_weights(manifest: Manifest, folder: str | Path, run: str | Path) -> None:
    """Checks that a run's network wrote the codes; different networks' codes are not comparable.

    Args:
      manifest: the manifest of ``folder``.
      folder: a codes folder.
      run: a folder with `model.npz`.

    Raises:
      ValueError: if another network encoded the pictures.
    """
    got = sha256(Path(run) / MODEL_FILE)
    if got != manifest.weights_sha256:
        raise ValueError(
            f"the codes in {folder} are from another network (weights SHA-256 "
            f"{manifest.weights_sha256[:12]}...) than the one in {run} (SHA-256 {got[:12]}...): "
            "use the run that encoded them, or encode the pictures again with this one."
        )


def open_codes(folder: str | Path, manifest: Manifest) -> UInt8[np.ndarray, "N bytes"]:
    """Memory-maps the packed codes, which are read from disk on access.

    Args:
      folder: a codes folder.
      manifest: the manifest of ``folder``.

    Returns:
      Packed codes, uint8 ``[N, ceil(K/8)]``, read-only.

    Raises:
      ValueError: if the file is damaged or missing, or does not match the manifest.
    """
    path, shape = Path(folder) / CODES, (manifest.number, manifest.bytes)
    try:
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is damaged or missing ({error}): encode the pictures again."
        ) from error
    if codes.shape != shape or codes.dtype != np.uint8:
        raise ValueError(
            f"{path} must be uint8 {list(shape)} to match {MANIFEST}, got {codes.dtype} "
            f"{list(codes.shape)}: encode the pictures again."
        )
    return codes


def read_ids(folder: str | Path, wanted: Iterable[int]) -> dict[int, str]:
    """Looks up the picture paths for the given codes, in one pass over the file.

    Args:
      folder: a codes folder.
      wanted: code indices, in 0..N - 1.

    Returns:
      ``{i: path}`` for each i in ``wanted``.

    Raises:
      ValueError: if the file has no line for a code.
    """
    paths, next_line = {}, 0
    with open(Path(folder) / IDS, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for i in sorted(set(wanted)):
            line = next(itertools.islice(file, i - next_line, None), None)
            if line is None:
                raise ValueError(
                    f"{Path(folder) / IDS} has no line for code {i}: encode the pictures again."
                )
            paths[i], next_line = line.removesuffix("\n"), i + 1
    return paths
