"""Decodes pictures with Pillow; the same formats and limits apply to every source.

Pillow detects formats by content, not by suffix, and supports many more formats than this module
allows. Some of its decoders are rarely tested, and one runs an external program (Ghostscript for
EPS).
"""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

_ALLOWED_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
Image.init()
FORMATS = tuple(name for name in _ALLOWED_FORMATS if name in Image.OPEN)

# Pillow's own default. If a program sets PIL.Image.MAX_IMAGE_PIXELS to a lower limit, the limit is
# respected; a higher limit or None is ignored.
MAX_PIXELS = 89_478_485

BinaryFile = io.BytesIO | io.BufferedReader

# Pillow scales grey levels of 2 or 4 bits to 0..255, but not the level declared as transparent.
_GREY_SCALES = {"L;2": 85, "L;4": 17}
_RGB_16_BITS, _RGB_16_BITS_LOW = "RGB;16B", "RGB;16L"


class UnreadablePicture(OSError):
    """Raised if a file is not a usable picture; the message gives the reason but not the path."""


def decode_picture(
    file: BinaryFile, *, upright: bool, draft: int | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Decodes a picture to RGB.

    Only the first frame of an animation is decoded, transparency is composited over white, 16-bit
    values are reduced to their upper 8 bits, and grey, palette and CMYK pictures are converted.

    Args:
      file: an open binary file in one of ``FORMATS``.
      upright: whether to apply the EXIF orientation.
      draft: minimum side in pixels, or None. If given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of
        its size, as long as both sides of the result are at least this long.

    Returns:
      The picture, uint8 ``[H, W, 3]``.

    Raises:
      UnreadablePicture: if the file is damaged, truncated or not in one of ``FORMATS``, or has more
        than ``MAX_PIXELS`` pixels. Truncated files are accepted if the program has set
        ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if picture.width * picture.height > _limit():
                raise Image.DecompressionBombError
            if draft is not None:
                picture.draft("RGB", (draft, draft))
            _load(picture, file)
            return _to_rgb(_upright(picture) if upright else picture)
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow's decoders raise exceptions of any type on a damaged file
        raise UnreadablePicture(reason(error)) from error


def reason(error: Exception) -> str:
    """Explains in one line why a picture cannot be read."""
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {_limit():,} pixels, which could be a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a supported format"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"damaged ({' '.join(str(error).split()) or type(error).__name__})"


def _limit() -> int:
    return min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS)


def _load(picture: Image.Image, file: BinaryFile) -> None:
    """Decodes the pixels; those in a PNG file's transparent colour become transparent."""
    transparent = picture.info.get("transparency")
    raw_mode = _png_raw_mode(picture)
    picture.load()
    if transparent is None:
        return
    if raw_mode in _GREY_SCALES:
        picture.info["transparency"] = transparent * _GREY_SCALES[raw_mode]
    if raw_mode == _RGB_16_BITS:
        levels = (np.asarray(picture).astype(np.uint16) << 8) | _low_bytes(file)
        opaque = (levels != transparent).any(axis=-1)
        picture.putalpha(Image.fromarray(np.where(opaque, 255, 0).astype(np.uint8)))


def _png_raw_mode(picture: Image.Image) -> str:
    """Returns the raw mode that Pillow uses to unpack a PNG file, or "" for other formats."""
    if picture.format != "PNG" or not isinstance(picture, ImageFile.ImageFile):
        return ""
    return str(picture.tile[0].args) if picture.tile else ""


def _low_bytes(file: BinaryFile) -> UInt8[np.ndarray, "H W 3"]:
    """Returns the lower bytes of a 16-bit RGB picture; Pillow keeps only the upper ones."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as picture:
        assert isinstance(picture, ImageFile.ImageFile)
        # Reading the values as little-endian swaps the two bytes.
        picture.tile = [tile._replace(args=_RGB_16_BITS_LOW) for tile in picture.tile]
        return np.array(picture)


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF data leaves the pixels intact
        return picture


def _to_rgb(picture: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    if picture.mode.startswith("I"):
        return _grey_from_16_bits(picture)
    if picture.mode == "F":
        raise UnreadablePicture("pixel values are not integers; save it with 8 bits per channel")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _grey_from_16_bits(picture: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    levels = np.asarray(picture)
    if levels.min() < 0 or levels.max() > 65_535:
        raise UnreadablePicture("pixel values exceed 16 bits; save it with 8 bits per channel")
    grey = (levels >> 8).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey[levels == transparent] = 255  # white
    return np.repeat(grey[..., None], 3, axis=-1)
