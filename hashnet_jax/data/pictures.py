"""Finds and decodes the user's own pictures, and explains why a picture is unreadable."""

import concurrent.futures
import contextlib
import functools
import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hashnet_jax.data.decoder import BinaryFile, UnreadablePicture, decode_picture, reason
from hashnet_jax.distributed.progress import Progress

# Suffixes recognized when searching a folder. Files given explicitly may have any suffix.
SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif",
    }
)  # fmt: skip

# Suffixes of pictures in unsupported formats, which users might not notice are skipped.
_UNSUPPORTED = {
    ".heic": "HEIC", ".heif": "HEIF", ".hif": "HEIF", ".jxl": "JPEG XL", ".psd": "PSD",
    ".svg": "SVG", ".eps": "EPS", ".tga": "TGA", ".pcx": "PCX", ".ico": "ICO", ".dng": "DNG",
    ".cr2": "CR2", ".cr3": "CR3", ".nef": "NEF", ".arw": "ARW", ".orf": "ORF", ".rw2": "RW2",
    ".raf": "RAF",
}  # fmt: skip

# The reasons for skipping a file or folder that is not a picture.
_HIDDEN, _NO_SUFFIX, _OTHER_SUFFIX = "hidden", "no suffix", "not the suffix of a picture"

# Pictures are processed in blocks, so that an interrupt waits only for the current block.
_PICTURES_PER_BLOCK = 256

StrPath = str | os.PathLike[str]

# A record of TFDS is never turned upright.
_UPRIGHT = functools.partial(hashlib.blake2b, digest_size=32, person=b"file")
_AS_STORED = functools.partial(hashlib.blake2b, digest_size=32, person=b"record")


def read_picture(
    path: StrPath, *, draft: int | None = None, upright: bool = True
) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture as RGB, by default the way an image viewer shows it.

    See :func:`hashnet_jax.data.decoder.decode_picture` for formats and limits. Only the first frame
    of an animation is read, transparency is composited over white, 16-bit values are reduced to
    their upper 8 bits, and grey, palette and CMYK pictures are converted to RGB.

    Args:
      path: path to a file in one of the supported formats.
      draft: minimum side in pixels, or None. If given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of
        its size, as long as both sides of the result are at least this long. This saves time but
        changes pixel values slightly.
      upright: whether to apply the EXIF orientation.

    Returns:
      The picture, uint8 ``[H, W, 3]``.

    Raises:
      UnreadablePicture: if the file is missing, unreadable, empty, damaged, truncated or not a
        picture, or has more than ``decoder.MAX_PIXELS`` pixels, since even a small file may
        decompress to an enormous size.

    Examples:
      >>> read_picture("none.jpg")
      Traceback (most recent call last):
      ...
      hashnet_jax.data.decoder.UnreadablePicture: no such file or directory
    """
    with opened(path) as file:
        return decode_picture(file, upright=upright, draft=draft)


def digest_file(path: StrPath, *, upright: bool = True) -> bytes:
    """Returns the 32-byte hash of a picture file, without decoding it.

    Turned upright or not, the same bytes have different pixels, and therefore different hashes.

    Raises:
      UnreadablePicture: if the file is missing, unreadable, empty or not a regular file.
    """
    with opened(path) as file:
        return hashlib.file_digest(file, _UPRIGHT if upright else _AS_STORED).digest()


def check_pictures(paths: Sequence[StrPath]) -> list[str | None]:
    """Decodes all pictures in parallel threads to find unreadable ones.

    Args:
      paths: paths to the pictures.

    Returns:
      For each picture, the reason why it cannot be read, or None if it can.
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
    causes no loop. A folder inside ``root`` is entered directly rather than through a link. A
    folder outside ``root`` is entered through the first link to it. Hidden files and folders are
    skipped, as are files whose suffix is not in ``SUFFIXES``.

    Args:
      root: path to the folder.
      on_skip: called with ``(path, reason)`` for each file or folder that is skipped, and for each
        folder that cannot be listed.

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
            entries = _entries(folder)
        except OSError as error:
            on_skip(folder, reason(error))
            continue
        entered.add((status.st_dev, status.st_ino))
        inner = []
        for entry in entries:
            passed_over = _why_passed_over(entry)
            if passed_over is not None:
                on_skip(entry.path, passed_over)
            elif _is_folder(entry):
                (links if entry.is_symlink() else inner).append(entry.path)
            else:
                yield entry.path
        folders.extend(reversed(inner))


def is_passed_over(reason: str) -> bool:
    """Returns whether a path that :func:`find_pictures` skipped for ``reason`` can be ignored.

    Hidden files and folders, and files that are not pictures, can be ignored. Pictures in an
    unsupported format, and folders that cannot be listed, should be reported.

    Examples:
      >>> is_passed_over("hidden file"), is_passed_over("permission denied")
      (True, False)
    """
    return reason.startswith((_HIDDEN, _NO_SUFFIX, _OTHER_SUFFIX))


def ignore_warnings() -> None:
    """Silences PIL's warnings, for programs that report unreadable pictures themselves."""
    for category in (UserWarning, Image.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


@contextlib.contextmanager
def opened(path: StrPath) -> Iterator[BinaryFile]:
    """Opens a picture file.

    Args:
      path: path to the file.

    Yields:
      The open file.

    Raises:
      UnreadablePicture: if anything fails within the ``with`` block, e.g. if the file is missing,
        unreadable, empty or not a regular file.
    """
    try:
        _check_file(path)
        with open(path, "rb") as file:
            yield file
    except UnreadablePicture:
        raise
    except Exception as error:  # for instance, a path that contains a NUL character
        raise UnreadablePicture(reason(error)) from error


def _check_file(path: StrPath) -> None:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block forever
        raise UnreadablePicture("not a file")
    if not status.st_size:
        raise UnreadablePicture("empty (0 bytes)")


def _why_unreadable(path: StrPath) -> str | None:
    try:
        read_picture(path, draft=1)
    except UnreadablePicture as error:
        return str(error)
    return None


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scan:
        return sorted(scan, key=lambda entry: entry.name)


def _why_passed_over(entry: os.DirEntry[str]) -> str | None:
    """Returns the reason to skip a file or folder, or None for a picture or a folder to search."""
    is_folder = _is_folder(entry)
    if entry.name.startswith("."):
        return f"{_HIDDEN} {'folder' if is_folder else 'file'}"
    suffix = os.path.splitext(entry.name)[1].lower()
    if is_folder or suffix in SUFFIXES:
        return None
    if suffix in _UNSUPPORTED:
        return f"{_UNSUPPORTED[suffix]} is not supported; convert it to JPEG or PNG"
    return f"{_OTHER_SUFFIX}: {suffix}" if suffix else _NO_SUFFIX


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself
        return False
