"""Perceptual hashes, which are similar for pictures that look alike."""

import hashlib
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hashnet_jax.data.decoder import decode_picture
from hashnet_jax.data.pictures import StrPath, opened

# The hash is computed from 32 x 32 pixels. Decoding a JPEG at this size or larger is several times
# as fast and changes the hash by at most a bit or two.
_DRAFT = 256


class Look(NamedTuple):
    """The hashes of a picture file and of its pixels.

    Attributes:
      sha256: SHA-256 of the file, 32 bytes.
      phash: perceptual hash of the pixels, uint8 ``[8]``.
    """

    sha256: bytes
    phash: UInt8[np.ndarray, "8"]


def look_at(path: StrPath) -> Look:
    """Reads a picture file once, and hashes its bytes and its pixels.

    Args:
      path: path to a picture file.

    Returns:
      The hashes.

    Raises:
      UnreadablePicture: if the file is missing or not a usable picture.
      ModuleNotFoundError: if ImageHash is not installed.

    Examples:
      >>> look_at("none.jpg")
      Traceback (most recent call last):
      ...
      hashnet_jax.data.decoder.UnreadablePicture: no such file or directory
    """
    with opened(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        image = decode_picture(file, upright=True, draft=_DRAFT)
    return Look(sha256, perceptual_hash(image))


def perceptual_hash(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "8"]:
    """Computes the pHash of a picture from the 64 lowest frequencies of its cosine transform.

    The picture is converted to grey and resized to 32 x 32 pixels. Each bit is set if the
    corresponding coefficient exceeds the median of all 64. Compression, scaling and small changes
    in brightness flip only a few bits. The hashes of pictures with different content differ in
    about half of the bits.

    Args:
      image: the decoded picture, uint8 ``[H, W, 3]``.

    Returns:
      The packed bits, uint8 ``[8]``.

    Raises:
      ModuleNotFoundError: if ImageHash is not installed.

    Examples:
      >>> light = np.tile(np.linspace(0, 200, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
      >>> int(np.bitwise_count(perceptual_hash(light) ^ perceptual_hash(light + 20)).sum())
      0
    """
    bits = import_imagehash().phash(Image.fromarray(np.ascontiguousarray(image))).hash
    return np.packbits(bits.ravel())


def import_imagehash() -> ModuleType:
    """Imports ImageHash, or raises an error that explains how to install it.

    Raises:
      ModuleNotFoundError: if ImageHash is not installed.
    """
    try:
        import imagehash
    except ModuleNotFoundError as error:
        if error.name != "imagehash":
            raise
        raise ModuleNotFoundError(
            "ImageHash is needed to compare the pixels of pictures. Install it with "
            "pip install 'hashnet_jax[search]'."
        ) from error
    return imagehash
