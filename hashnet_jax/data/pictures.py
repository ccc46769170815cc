"""Finds and decodes users' own pictures, rejecting unreadable ones with a reason."""

import concurrent.futures
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from hashnet_jax.distributed.progress import Progress

# Suffixes recognized when searching a folder. Files given explicitly may have any suffix.
SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif",
    }
)  # fmt: skip

# PIL supports more formats, which it detects by content, not suffix; for some it runs external
# programs (Ghostscript for EPS).
_ALLOWED_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
Image.init()
FORMATS = tuple(name for name in _ALLOWED_FORMATS if name in Image.OPEN)

# An interrupt only waits for the current block.
_PICTURES_PER_BLOCK = 256

StrPath = str | os.PathLike[str]


class UnreadablePicture(OSError):
    """Raised if a file is not a usable picture; the message is the reason, without the path."""


def read_picture(path: StrPath, *, draft: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture as RGB, the way an image viewer shows it.

    The EXIF orientation is applied. Only the first frame of an animation is read, transparency is
    composited over white, 16-bit values keep their upper 8 bits, and grey, palette and CMYK
    pictures are converted to RGB.

    Args:
      path: path of a file in one of ``FORMATS``.
      draft: minimum side in pixels, or None. If given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of
        its size as long as both sides are at least this long, which is faster but changes pixel
        values slightly.

    Returns:
      The picture, uint8 ``[H, W, 3]``.

    Raises:
      UnreadablePicture: if the file is missing, unreadable, empty, damaged, truncated or not a
        picture, or has more pixels than PIL considers safe (``PIL.Image.MAX_IMAGE_PIXELS``, 89
        million), since even a small file can decompress to any size.

    Examples:
      >>> read_picture("none.jpg")
      Traceback (most recent call last):
      ...
      hashnet_jax.data.pictures.UnreadablePicture: no such file or directory
    """
    try:
        _check_file(path)
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as picture:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and picture.width * picture.height > limit:
                raise Image.DecompressionBombError
            if draft is not None:
                picture.draft("RGB", (draft, draft))
            picture.load()
            return _to_rgb(_upright(picture))
    except UnreadablePicture:
        raise
    except Exception as error:  # PIL's decoders raise exceptions of any type on a damaged file
        raise UnreadablePicture(_reason(error)) from error


def check_pictures(paths: Sequence[StrPath]) -> list[str | None]:
    """Decodes all pictures in parallel threads to find unreadable ones.

    Args:
      paths: paths of the N files.

    Returns:
      For each picture, the reason it cannot be read, or None if it can.
    """
    reasons: list[str | None] = []
    with (
        Progress(len(paths), "checking pictures", "picture") as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for start in range(0, len(paths), _PICTURES_PER_BLOCK):
            reasons += pool.map(_why_unreadable, paths[start : start + _PICTURES_PER_BLOCK])
            progress.update(len(reasons) - start)
    return reasons


def find_pictures(root: StrPath, on_skip: Callable[[str, str], object]) -> Iterator[str]:
    """Yields the pictures in a folder and its subfolders as they are found.

    Symbolic links are followed, but each folder is entered only once, so a link to a parent folder
    causes no loop. A folder inside ``root`` is entered under its own path; one outside, through the
    first link found. Hidden files and folders are ignored, as are files without a suffix in
    ``SUFFIXES``.

    Args:
      root: path of the folder.
      on_skip: called with ``(path, reason)`` for each folder that cannot be listed.

    Yields:
      Paths that start with ``root``, sorted by name within each folder.
    """
    entered: set[tuple[int, int]] = set()
    folders, links = [os.fspath(root)], []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entries = _visible_entries(folder)
        except OSError as error:
            on_skip(folder, (error.strerror or str(error)).lower())
            continue
        entered.add((status.st_dev, status.st_ino))
        inner = []
        for entry in entries:
            if _is_folder(entry):
                (links if entry.is_symlink() else inner).append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                yield entry.path
        folders.extend(reversed(inner))


def ignore_warnings() -> None:
    """Silences PIL's warnings, for programs that report unreadable pictures themselves."""
    for category in (UserWarning, Image.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


def printable(path: StrPath) -> str:
    """Converts a path to printable text, replacing line breaks and invalid UTF-8."""
    return os.fsencode(path).decode(errors="replace").replace("\n", "\ufffd")


def _check_file(path: StrPath) -> None:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block forever
        raise UnreadablePicture("not a file")
    if not status.st_size:
        raise UnreadablePicture("empty (0 bytes)")


def _reason(error: Exception) -> str:
    """Explains in one line why a picture cannot be read."""
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, which could be a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a supported format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"damaged ({str(error) or type(error).__name__})"


def _why_unreadable(path: StrPath) -> str | None:
    try:
        read_picture(path, draft=1)
    except UnreadablePicture as error:
        return str(error)
    return None


def _visible_entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scan:
        entries = [entry for entry in scan if not entry.name.startswith(".")]
    return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF data leaves the pixels intact
        return picture


def _to_rgb(picture: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    if picture.mode.startswith("I"):
        return _grey_from_16_bits(picture)
    if picture.mode == "F":
        raise UnreadablePicture(
            "its pixel values are not integers: save it with 8 bits per channel"
        )
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _grey_from_16_bits(picture: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    levels = np.asarray(picture)
    if levels.min() < 0 or levels.max() > 65_535:
        raise UnreadablePicture("its pixel values exceed 16 bits: save it with 8 bits per channel")
    grey = (levels >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
