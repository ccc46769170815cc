"""The size, modification time and hash of a picture file, stored to detect later changes."""

import hashlib
import os
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.data.decoder import UnreadablePicture, decode_picture
from hashnet_jax.data.pictures import opened
from hashnet_jax.data.sources import JPEG_DRAFT_FACTOR, squash


class PictureFile(NamedTuple):
    """The state of a picture file.

    Attributes:
      size: size of the file in bytes.
      mtime_ns: time of the last modification, in nanoseconds.
      sha256: SHA-256 of the content, 32 bytes.
    """

    size: int
    mtime_ns: int
    sha256: bytes


def digest(path: str | os.PathLike[str]) -> PictureFile | str:
    """Returns the state of a picture file, or the reason why it cannot be read."""
    try:
        with opened(path) as file:
            status = os.fstat(file.fileno())
            content = hashlib.file_digest(file, "sha256").digest()
    except UnreadablePicture as error:
        return str(error)
    return PictureFile(status.st_size, status.st_mtime_ns, content)


def load_picture(
    path: str | os.PathLike[str], image: UInt8[np.ndarray, "size size 3"]
) -> PictureFile | str:
    """Hashes a picture file, and decodes it like :func:`hashnet_jax.data.sources.read_squashed`.

    The size and modification time are recorded before the first byte is read. If the file is
    modified later, the recorded values no longer match the file, and the next update encodes the
    picture again.

    Args:
      path: path to the file.
      image: array that receives the pixels, uint8 ``[size, size, 3]``.

    Returns:
      The state of the file, or the reason why it cannot be read.
    """
    size = len(image)
    try:
        with opened(path) as file:
            status = os.fstat(file.fileno())
            content = hashlib.file_digest(file, "sha256").digest()
            file.seek(0)
            pixels = decode_picture(file, upright=True, draft=JPEG_DRAFT_FACTOR * size)
            image[:] = squash(pixels, size)
    except UnreadablePicture as error:
        return str(error)
    return PictureFile(status.st_size, status.st_mtime_ns, content)
