"""Pictures of anyone's making: found in folders, and decoded or refused with a reason."""

import concurrent.futures
import os
import stat
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hashnet_jax.progress import Progress

# What counts as a picture when a folder is searched. A file that is named itself may have any name.
SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif",
    }
)  # fmt: skip

# PIL reads more, and starts other programs for some (Ghostscript for EPS), whatever the suffix.
_WANTED = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
Image.init()
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)


class UnreadablePicture(OSError):
    """A file that cannot be used as a picture; its message is the reason, without the path."""


def read_picture(path, *, draft=None):
    """A picture as RGB, as a viewer shows it.

    Turned upright by its EXIF orientation; of an animation the first frame; transparency on white;
    16-bit levels cut to their upper 8 bits; grey, palette and CMYK pictures become RGB.

    Args:
      path: of a file of one of ``FORMATS``.
      draft: pixels, or None. With a number, a JPEG may be decoded at a half, quarter or eighth of
        its size where both sides stay at least that long: faster, for when the pixels matter less.

    Returns:
      uint8 ``[H, W, 3]``.

    Raises:
      UnreadablePicture: if there is no such file or it may not be read, is empty, damaged,
        truncated or no picture, or has more pixels than PIL holds to be safe
        (``PIL.Image.MAX_IMAGE_PIXELS``, 89 million): a small file can decompress to any size.

    Examples:
      >>> read_picture("none.jpg")
      Traceback (most recent call last):
      ...
      hashnet_jax.data.pictures.UnreadablePicture: no such file or directory
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise UnreadablePicture("not a file")
        if not status.st_size:
            raise UnreadablePicture("empty (0 bytes)")
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as picture:
            if picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError
            if draft is not None:
                picture.draft("RGB", (draft, draft))
            picture.load()
            return _to_rgb(_upright(picture))
    except UnreadablePicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePicture(
            f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, which could be a decompression bomb"
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadablePicture("not a picture of a format that is read") from error
    except Exception as error:  # of a damaged file, PIL's decoders raise whatever comes up
        strerror = getattr(error, "strerror", None)
        reason = strerror.lower() if strerror else f"damaged ({error or type(error).__name__})"
        raise UnreadablePicture(reason) from error


def check_pictures(paths):
    """Decodes every picture, in threads.

    Args:
      paths: of the files, ``[N]``.

    Returns:
      List ``[N]`` of why each cannot be read, or None.
    """

    def reason(path):
        try:
            read_picture(path, draft=1)
        except UnreadablePicture as error:
            return str(error)

    reasons = []
    with (
        Progress(len(paths), "checking pictures", "picture") as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        # In blocks, so that an interruption waits for one of them only.
        for start in range(0, len(paths), 256):
            reasons += pool.map(reason, paths[start : start + 256])
            progress.update(len(reasons) - start)
    return reasons


def find_pictures(root, on_skip):
    """The pictures in a folder and its subfolders, as they are found.

    Links are followed, and each folder is entered once: where it lies, or else by the first link
    to it. So a link to a folder above ends nowhere endless. Hidden files and folders, and files
    without a suffix in ``SUFFIXES``, are passed over.

    Args:
      root: a folder.
      on_skip: called with ``(path, reason)`` for a folder that cannot be listed.

    Yields:
      Paths that start with ``root``, str; a folder's own in the order of their names.
    """
    entered, folders, links = set(), [os.fspath(root)], []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            on_skip(folder, error.strerror.lower())
            continue
        entered.add((status.st_dev, status.st_ino))
        inner = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else inner).append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                yield entry.path
        folders.extend(reversed(inner))


def ignore_warnings():
    """For programs: PIL says nothing. Here a picture is read, or refused with a reason."""
    for category in (UserWarning, Image.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


def printable(path):
    """A path as text that can be printed: bytes that are not UTF-8 are replaced."""
    return os.fsencode(path).decode(errors="replace").replace("\n", "\ufffd")


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _upright(picture):
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF data takes nothing from the pixels
        return picture


def _to_rgb(picture):
    if picture.mode.startswith("I"):
        levels = np.asarray(picture)
        if levels.min() < 0 or levels.max() > 65_535:
            raise UnreadablePicture("its levels are not of 16 bits: save it with 8 bits a channel")
        grey = (levels >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if picture.mode == "F":
        raise UnreadablePicture("its levels are no whole numbers: save it with 8 bits a channel")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))
