"""Images by index: what every data set is read through.

A source has ``len(source)``, ``source[i]``, a uint8 image ``[H, W, 3]``, and ``source.squashed(i,
size)``, the same as a network reads it, uint8 ``[size, size, 3]``; it says by ``in_memory`` whether
that costs no decoding, and is picklable, so that worker processes can read from it.
"""

import bisect
import io

import numpy as np
from PIL import Image

from hashnet_jax.data.pictures import UnreadablePicture, read_picture

# A JPEG is decoded at a half, quarter or eighth of its size where both sides stay so many times as
# long as what it is squashed to. At 12 megapixels to 256 x 256 that is 5 to 8 times as fast, and of
# 255 levels a pixel moves by 0.2 to 0.3 on average, by 2 or more in about one of a hundred. With 1
# in place of 2 it would move by three times as much.
OVERSAMPLING = 2


class ArraySource:
    """Images of one size held in memory, for data sets that are small.

    Args:
      images: uint8 ``[N, H, W, 3]``, or ``[N, H, W, 1]`` for grey ones, shown as three channels.

    Raises:
      TypeError: if they are not uint8.
      ValueError: if they have another shape.
    """

    in_memory = True

    def __init__(self, images):
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8, got {images.dtype}.")
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ValueError(f"images must be [N, H, W, 3] or [N, H, W, 1], got {images.shape}.")
        self._images = images

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        return np.broadcast_to(self._images[index], (*self._images.shape[1:3], 3))

    def squashed(self, index, size):
        return squash(self[index], size)


class PooledSource:
    """Several sources one after the other.

    Examples:
      >>> black = ArraySource(np.zeros((3, 2, 2, 1), np.uint8))
      >>> white = ArraySource(np.full((2, 2, 2, 1), 255, np.uint8))
      >>> pool = PooledSource([black, white])
      >>> len(pool), pool[2].max(), pool[3].max()
      (5, np.uint8(0), np.uint8(255))
    """

    def __init__(self, sources):
        self._sources = list(sources)
        self._ends = np.cumsum([len(source) for source in self._sources]).tolist()

    @property
    def in_memory(self):
        return all(source.in_memory for source in self._sources)

    def __len__(self):
        return self._ends[-1]

    def __getitem__(self, index):
        source, place = self._find(index)
        return source[place]

    def squashed(self, index, size):
        source, place = self._find(index)
        return source.squashed(place, size)

    def _find(self, index):
        which = bisect.bisect_right(self._ends, index)
        before = self._ends[which - 1] if which else 0
        return self._sources[which], int(index) - before


class FileSource:
    """Pictures in files, opened when asked for, as :func:`hashnet_jax.data.pictures.read_picture`.

    So they are turned upright by their EXIF orientation, as a viewer shows them. (torchvision's and
    TFDS's loaders, so the authors' code, leave them as stored; few pictures of the usual data sets
    are concerned.)

    Args:
      paths: of the files, ``[N]``.

    Raises:
      OSError: on reading a file that is missing or that cannot be decoded, by its name.
    """

    in_memory = False

    def __init__(self, paths):
        self.paths = tuple(str(path) for path in paths)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self._read(index, read_picture)

    def squashed(self, index, size):
        return self._read(index, lambda path: read_squashed(path, size))

    def _read(self, index, read):
        path = self.paths[index]
        try:
            return read(path)
        except UnreadablePicture as error:
            raise OSError(
                f"{path} must be a picture that PIL can decode, got one that is not: {error}. "
                "Replace the file, or take it out."
            ) from error


def decode(data):
    """An encoded picture (JPEG, PNG, ...) as uint8 ``[H, W, 3]``."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def decode_squashed(data, size):
    """An encoded picture, squashed; a large JPEG decoded at reduced size (``OVERSAMPLING``)."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", (OVERSAMPLING * size,) * 2)
        return squash(np.asarray(picture.convert("RGB")), size)


def read_squashed(path, size):
    """:func:`hashnet_jax.data.pictures.read_picture`, squashed; as :func:`decode_squashed`."""
    return squash(read_picture(path, draft=OVERSAMPLING * size), size)


def squash(image, size):
    """Resizes uint8 ``[H, W, 3]`` to ``[size, size, 3]`` without keeping the aspect ratio."""
    if image.shape[:2] == (size, size):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
