"""Reads codes folders, and checks that they are undamaged."""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.reading import DamagedFile, check_sha256, read_npy
from hashnet_jax.index._manifest import CODES, IDS, MANIFEST, Manifest, written_by_0_1

_CODES = f"the codes described by {MANIFEST}"
_PATHS = f"the picture list described by {MANIFEST}"
_REMEDY = "restore the folder from a copy, or index the pictures into a store"


def check_codes(folder: str | Path, manifest: Manifest) -> None:
    """Checks that the codes and the picture paths match the manifest.

    Each of the two files is read once: 10 million 64-bit codes and their paths take about a second.
    Folders written by version 0.1 have no hashes, so only the sizes are checked.

    Args:
      folder: a codes folder.
      manifest: the manifest of ``folder``.

    Raises:
      DamagedFile: a ValueError, if a file is damaged or does not match the manifest.
      FileNotFoundError: if a file is missing.
    """
    open_codes(folder, manifest)
    paths = Path(folder) / IDS
    if written_by_0_1(manifest):
        refuse_pipe(paths)
        with open(paths, "rb") as file:
            number = sum(1 for _ in file)
        if number != manifest.number:
            reason = f"it has {number:,} lines, but there are {manifest.number:,} codes"
            raise DamagedFile(paths, _PATHS, reason, _REMEDY)
        return
    check_sha256(Path(folder) / CODES, manifest.codes_sha256, _CODES, _REMEDY)
    check_sha256(paths, manifest.ids_sha256, _PATHS, _REMEDY)


def note_unchecked(folder: str | Path, manifest: Manifest) -> None:
    """Prints a note if the codes could not be checked because they were written by version 0.1."""
    if written_by_0_1(manifest):
        print(
            f"note: {folder} was written by version 0.1, without hashes, so only the sizes of its "
            "files were checked.",
            file=sys.stderr,
        )


def open_codes(folder: str | Path, manifest: Manifest) -> UInt8[np.ndarray, "N bytes"]:
    """Opens the packed codes as a memory map, so that they are read from disk on access.

    Args:
      folder: a codes folder.
      manifest: the manifest of ``folder``.

    Returns:
      Packed codes, uint8 ``[N, ceil(K/8)]``, read-only.

    Raises:
      DamagedFile: a ValueError, if the file is damaged or does not match the manifest.
      FileNotFoundError: if the file is missing.
    """
    path, shape = Path(folder) / CODES, (manifest.number, manifest.code_bytes)
    codes = read_npy(path, _CODES, _REMEDY, mmap=True)
    if codes.shape != shape or codes.dtype != np.uint8:
        reason = (
            f"it must be uint8 {list(shape)} to match {MANIFEST}, got {codes.dtype} "
            f"{list(codes.shape)}"
        )
        raise DamagedFile(path, _CODES, reason, _REMEDY)
    return codes
