"""Image sources, which give access to a data set's images by index."""

import bisect
import hashlib
import io
import operator
import os
from collections.abc import Callable, Iterable
from typing import Protocol, SupportsIndex, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hashnet_jax.data.decoder import UnreadablePicture, decode_picture
from hashnet_jax.data.pictures import digest_file, read_picture
from hashnet_jax.distributed.printing import printable

Value = TypeVar("Value")

# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as both sides remain at least this many
# times the target size. From 12 megapixels to 256 x 256, this is 5 to 8 times as fast as decoding
# at full size. Pixel values (0..255) change by 0.2 to 0.3 on average, and about 1% of them by 2 or
# more. With a factor of 1, they would change three times as much.
JPEG_DRAFT_FACTOR = 2


@runtime_checkable
class ImageSource(Protocol):
    """Provides access to images by index; must be picklable for use in worker processes.

    Attributes:
      in_memory: whether the images are held in memory and need no decoding.
    """

    @property
    def in_memory(self) -> bool: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: SupportsIndex, /) -> UInt8[np.ndarray, "H W 3"]:
        """Returns the image at its original size."""
        ...

    def squashed(self, index: SupportsIndex, size: int, /) -> UInt8[np.ndarray, "size size 3"]:
        """Returns the image resized for a network; see :func:`squash`."""
        ...


@runtime_checkable
class DigestibleSource(Protocol):
    """A source that can detect changed images without decoding them."""

    def digest(self, index: SupportsIndex, /) -> bytes:
        """Returns a hash that differs if the pixels differ, and may also depend on the encoding."""
        ...


class ArraySource:
    """Same-size images held in memory, for small data sets.

    Args:
      images: uint8 ``[N, H, W, 3]``, or ``[N, H, W, 1]`` for grey images, whose channel is
        repeated three times.

    Raises:
      TypeError: if ``images`` is not uint8.
      ValueError: if ``images`` has any other shape.
    """

    in_memory: bool = True

    def __init__(self, images: UInt8[np.ndarray, "N H W C"]) -> None:
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8, got {images.dtype}.")
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ValueError(f"images must be [N, H, W, 3] or [N, H, W, 1], got {images.shape}.")
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        return np.broadcast_to(self._images[index], (*self._images.shape[1:3], 3))

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        return squash(self[index], size)

    def digest(self, index: SupportsIndex) -> bytes:
        """Returns the 32-byte hash of an image's shape and pixels."""
        return digest_pixels(self._images[index])


class PooledSource:
    """Concatenates several sources.

    Args:
      sources: the sources to concatenate, at least one.

    Examples:
      >>> black = ArraySource(np.zeros((3, 2, 2, 1), np.uint8))
      >>> white = ArraySource(np.full((2, 2, 2, 1), 255, np.uint8))
      >>> pool = PooledSource([black, white])
      >>> len(pool), pool[2].max(), pool[3].max()
      (5, np.uint8(0), np.uint8(255))
    """

    def __init__(self, sources: Iterable[ImageSource]) -> None:
        self._sources = list(sources)
        self._ends: list[int] = np.cumsum([len(source) for source in self._sources]).tolist()

    @property
    def in_memory(self) -> bool:
        return all(source.in_memory for source in self._sources)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        source, place = self._find(index)
        return source[place]

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        source, place = self._find(index)
        return source.squashed(place, size)

    def digest(self, index: SupportsIndex) -> bytes:
        """Returns the 32-byte hash of an image's content; see :func:`digest_image`."""
        return digest_image(*self._find(index))

    def _find(self, index: SupportsIndex) -> tuple[ImageSource, int]:
        """Returns the source that contains an image, and the image's index in it."""
        index = operator.index(index)
        which = bisect.bisect_right(self._ends, index)
        before = self._ends[which - 1] if which else 0
        return self._sources[which], index - before


class FileSource:
    """Picture files, decoded on access by :func:`hashnet_jax.data.pictures.read_picture`.

    Args:
      paths: paths to the N files.
      upright: whether to apply the EXIF orientation, as image viewers do. torchvision's and TFDS's
        loaders, and therefore the code of HashNet's authors, ignore it, and so should published
        data sets; few of their images are affected.

    Raises:
      OSError: on access, if a file is missing or cannot be decoded; the message names the file.
    """

    in_memory: bool = False

    def __init__(self, paths: Iterable[str | os.PathLike[str]], *, upright: bool = True) -> None:
        self.paths = tuple(str(path) for path in paths)
        self._upright = upright

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        return self._read(index, lambda path: read_picture(path, upright=self._upright))

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        return self._read(index, lambda path: read_squashed(path, size, upright=self._upright))

    def digest(self, index: SupportsIndex) -> bytes:
        """Returns the 32-byte hash of a file's content."""
        return self._read(index, lambda path: digest_file(path, upright=self._upright))

    def _read(self, index: SupportsIndex, read: Callable[[str], Value]) -> Value:
        path = self.paths[index]
        try:
            return read(path)
        except UnreadablePicture as error:
            raise OSError(
                f"cannot read the picture {printable(path)} ({error}). Replace it, or remove it "
                "from the data set."
            ) from error


def digest_image(source: ImageSource, index: SupportsIndex) -> bytes:
    """Returns the 32-byte hash of an image's content; decodes the image only if necessary."""
    if isinstance(source, DigestibleSource):
        return source.digest(index)
    return digest_pixels(source[index])


def digest_pixels(image: UInt8[np.ndarray, "H W C"]) -> bytes:
    """Returns the 32-byte hash of an image's shape and pixels."""
    content = hashlib.blake2b(repr(image.shape).encode(), digest_size=32)
    content.update(np.ascontiguousarray(image).data)
    return content.digest()


def digest_record(data: bytes) -> bytes:
    """Returns the 32-byte hash of an encoded image in a TFDS record."""
    return hashlib.blake2b(data, digest_size=32, person=b"record").digest()


def decode(data: bytes) -> UInt8[np.ndarray, "H W 3"]:
    """Decodes an image (JPEG, PNG, ...) to uint8 ``[H, W, 3]``, ignoring its EXIF orientation.

    See :func:`hashnet_jax.data.decoder.decode_picture` for formats, limits and errors.
    """
    return decode_picture(io.BytesIO(data), upright=False)


def decode_squashed(data: bytes, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Decodes an image with :func:`decode`, and squashes it (see :func:`squash`).

    A large JPEG is decoded at a reduced size (see ``JPEG_DRAFT_FACTOR``).
    """
    draft = JPEG_DRAFT_FACTOR * size
    return squash(decode_picture(io.BytesIO(data), upright=False, draft=draft), size)


def read_squashed(
    path: str | os.PathLike[str], size: int, *, upright: bool = True
) -> UInt8[np.ndarray, "size size 3"]:
    """Reads a picture with :func:`read_picture`, and squashes it (see :func:`squash`)."""
    return squash(read_picture(path, draft=JPEG_DRAFT_FACTOR * size, upright=upright), size)


def squash(image: UInt8[np.ndarray, "H W 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resizes an image to a square with bilinear interpolation, ignoring its aspect ratio.

    Args:
      image: the image to resize, uint8 ``[H, W, 3]``.
      size: side length of the square, in pixels.

    Returns:
      The resized image, uint8 ``[size, size, 3]``.

    Examples:
      >>> squash(np.zeros((4, 6, 3), np.uint8), 8).shape
      (8, 8, 3)
    """
    if image.shape[:2] == (size, size):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
