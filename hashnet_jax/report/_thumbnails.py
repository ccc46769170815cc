"""Creates thumbnails to embed in the gallery and the search page."""

import base64
import dataclasses
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

PIXELATED_UP_TO = 48  # longest side, in pixels, of pictures enlarged without smoothing


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI.

    Attributes:
      uri: data URI of the picture, PNG if it is pixelated and JPEG otherwise.
      width: width in pixels.
      height: height in pixels.
      pixelated: whether a browser should enlarge the picture without smoothing.
    """

    uri: str
    width: int
    height: int
    pixelated: bool


def thumbnail(image: UInt8[np.ndarray, "H W 3"], *, side: int) -> Thumbnail:
    """Shrinks an image to ``side`` pixels, or enlarges a tiny one without smoothing.

    Args:
      image: image of any size; its aspect ratio is kept.
      side: longest side of the thumbnail, in pixels.

    Returns:
      The thumbnail.

    Examples:
      >>> tiny = thumbnail(np.zeros((8, 8, 3), np.uint8), side=96)
      >>> tiny.uri[:22], tiny.width, tiny.pixelated
      ('data:image/png;base64,', 96, True)
      >>> large = thumbnail(np.zeros((300, 600, 3), np.uint8), side=96)
      >>> large.uri[:23], large.width, large.height
      ('data:image/jpeg;base64,', 96, 48)
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    pixelated = max(picture.size) <= PIXELATED_UP_TO
    if pixelated:
        # Enlarged here because browsers smooth enlarged pictures when printing.
        scale = max(1, side // max(picture.size))
        size = (scale * picture.width, scale * picture.height)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((side, side))
    uri = _data_uri(picture, "png" if pixelated else "jpeg")
    return Thumbnail(uri, picture.width, picture.height, pixelated)


def _data_uri(picture: Image.Image, form: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, quality=85, optimize=True)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
