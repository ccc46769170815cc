"""Identifies images by content, so that results computed from other images are never reused."""

import concurrent.futures
import hashlib
import os

import numpy as np
from jaxtyping import Int

from hashnet_jax.data.sources import ImageSource, digest_image
from hashnet_jax.distributed.progress import Progress

# Images are processed in blocks, so that an interrupt waits only for the current block. Each thread
# hashes several images at a time, since starting a task takes longer than hashing a small image.
_IMAGES_PER_BLOCK = 2048
_IMAGES_PER_TASK = 64


def content_digest(
    source: ImageSource, indices: Int[np.ndarray, " N"], *, progress: Progress | None = None
) -> str:
    """Hashes the content of images; the hash changes if any pixel changes.

    Picture files and TFDS records are hashed as they are stored, which is much faster than decoding
    them. If a source has no ``digest`` method, its pixels are hashed.

    Args:
      source: the images, accessed by index; see :mod:`hashnet_jax.data.sources`.
      indices: indices of the images, int ``[N]``.
      progress: an open :class:`hashnet_jax.distributed.progress.Progress` that counts images, or
        None.

    Returns:
      64 hexadecimal digits.

    Raises:
      OSError: if an image cannot be read; the message names it.

    Examples:
      >>> from hashnet_jax.data import ArraySource
      >>> images = np.zeros((3, 8, 8, 3), np.uint8)
      >>> before = content_digest(ArraySource(images), np.arange(3))
      >>> images[2, 0, 0, 0] = 1
      >>> before == content_digest(ArraySource(images), np.arange(3))
      False
    """

    def digests(part: Int[np.ndarray, " n"]) -> bytes:
        return b"".join(digest_image(source, index) for index in part)

    whole = hashlib.sha256()
    # Reading and hashing release the GIL.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(indices), _IMAGES_PER_BLOCK):
            block = indices[start : start + _IMAGES_PER_BLOCK]
            parts = [
                block[first : first + _IMAGES_PER_TASK]
                for first in range(0, len(block), _IMAGES_PER_TASK)
            ]
            for content in pool.map(digests, parts):
                whole.update(content)
            if progress is not None:
                progress.update(len(block))
    return whole.hexdigest()
