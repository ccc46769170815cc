"""Decodes uploaded pictures, and creates thumbnails of indexed pictures."""

import io
import os
import threading
import warnings
from collections import OrderedDict

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from hashnet_jax.data.decoder import FORMATS, UnreadablePicture, decode_picture
from hashnet_jax.data.pictures import read_picture
from hashnet_jax.data.sources import JPEG_DRAFT_FACTOR, squash
from hashnet_jax.index.service._limits import Refused

# Longest side of a thumbnail in pixels: twice the displayed size, for high-density screens.
THUMBNAIL_SIDE = 320
_THUMBNAIL_CACHE_BYTES = 64 * 2**20
# Smaller pictures are enlarged without smoothing, so that their pixels can be seen.
_PIXELATED_UP_TO = 48

# The suffix of an uploaded picture, keyed by the format of its content.
_SUFFIXES = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp",
    "TIFF": ".tif", "PPM": ".ppm", "JPEG2000": ".jp2", "AVIF": ".avif",
}  # fmt: skip


def decode_upload(data: bytes, *, side: int, max_pixels: int) -> UInt8[np.ndarray, "side side 3"]:
    """Decodes an uploaded picture in the same way as picture files are decoded for the index.

    Args:
      data: the file's contents.
      side: side length of the result, in pixels.
      max_pixels: maximum number of pixels that the picture may have.

    Returns:
      The picture, squashed to a square.

    Raises:
      Refused: with status 413 if the picture has too many pixels, 415 if it is not a picture in a
        supported format, and 422 if it is damaged.
    """
    picture_format(data, max_pixels=max_pixels)
    try:
        picture = decode_picture(io.BytesIO(data), upright=True, draft=JPEG_DRAFT_FACTOR * side)
    except UnreadablePicture as error:
        raise Refused(422, f"The picture cannot be read: {error}.") from error
    return squash(picture, side)


def picture_format(data: bytes, *, max_pixels: int) -> str:
    """Returns the file suffix for a picture, e.g. ".png".

    Raises the same errors as :func:`decode_upload`.
    """
    if not data:
        raise Refused(422, "The picture cannot be read: empty (0 bytes).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked below
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                pixels, kind = picture.width * picture.height, str(picture.format)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    except UnidentifiedImageError as error:
        known = ", ".join(name for name in FORMATS if name != "MPO")
        raise Refused(415, f"Not a picture in a supported format ({known}).") from error
    except Exception as error:  # Pillow raises exceptions of any type on a damaged file
        raise Refused(422, "The picture cannot be read: its header is damaged.") from error
    if pixels > max_pixels:
        raise _too_large(max_pixels)
    return _SUFFIXES[kind]


def _too_large(max_pixels: int) -> Refused:
    return Refused(413, f"A picture must have at most {max_pixels:,} pixels.")


class Thumbnails:
    """Creates thumbnails of pictures, and caches the most recently used thumbnails."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def jpeg(self, path: str, known: str | None) -> tuple[str, bytes | None]:
        """Returns the thumbnail of a picture as a JPEG file.

        Args:
          path: path to the picture.
          known: tag of the thumbnail that the client has, or None.

        Returns:
          ``(tag, content)``. The tag changes if the file changes; the content is None if the client
          already has this thumbnail.

        Raises:
          Refused: with status 404 if the file is missing, and 422 if it cannot be read.
        """
        key = self._key(path)
        tag = f'"{key[1]:x}-{key[2]:x}"'
        return tag, None if tag == known else self._cached(key)

    def _cached(self, key: tuple[str, int, int]) -> bytes:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        try:
            content = _jpeg(read_picture(key[0], draft=THUMBNAIL_SIDE))
        except UnreadablePicture as error:
            raise Refused(422, f"The picture cannot be read: {error}.") from error
        self._keep(key, content)
        return content

    def _key(self, path: str) -> tuple[str, int, int]:
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:  # ValueError: the path contains a NUL character
            raise Refused(404, "The file of this picture is missing.") from error
        return path, status.st_size, status.st_mtime_ns

    def _keep(self, key: tuple[str, int, int], content: bytes) -> None:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = content
                self._bytes += len(content)
            while self._bytes > _THUMBNAIL_CACHE_BYTES:
                _, oldest = self._cache.popitem(last=False)
                self._bytes -= len(oldest)


def _jpeg(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) <= _PIXELATED_UP_TO:
        scale = THUMBNAIL_SIDE // max(picture.size)
        size = (scale * picture.width, scale * picture.height)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()
