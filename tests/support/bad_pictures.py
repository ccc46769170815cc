"""Writes files like those in users' folders: unusual pictures, damaged ones, and other files."""

import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.data import pictures


def picture(seed: int = 0, size: tuple[int, int] = (20, 16)) -> Image.Image:
    """Returns a picture of random noise generated from ``seed``."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return Image.fromarray(noise)


def jpeg(seed: int = 0, size: tuple[int, int] = (20, 16)) -> bytes:
    """Returns :func:`picture` as a JPEG file."""
    buffer = io.BytesIO()
    picture(seed, size).save(buffer, "JPEG")
    return buffer.getvalue()


def png(
    row: bytes,
    width: int,
    *,
    depth: int,
    colour: int = 0,
    transparent: Sequence[int] = (),
    exif: bytes = b"",
) -> bytes:
    """Returns a PNG file with one row of pixels, in bit depths that Pillow cannot write.

    Args:
      row: the packed pixels.
      width: number of pixels.
      depth: bits per channel.
      colour: 0 for grey, 2 for RGB.
      transparent: level of each channel that stands for a transparent pixel.
      exif: EXIF data.
    """
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0))]
    if transparent:
        chunks.append(_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [_chunk(b"IDAT", zlib.compress(b"\0" + row)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """Returns a small PNG file whose header declares ``width`` x ``height`` grey pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(
        bytes(width + 1) * 64, 9
    )  # not all rows, since it must be rejected before decoding
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", rows)
        + _chunk(b"IEND", b"")
    )


def write_good(folder: Path) -> dict[str, tuple[int, int, int] | None]:
    """Writes unusual but valid pictures; returns {name: middle pixel, or None if random}."""
    picture(1).save(folder / "plain.jpg")
    picture(2, (1, 1)).save(folder / "one pixel.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((8, 8), 0xFFFF, np.uint16)).save(folder / "sixteen bits.png")
    Image.new("L", (8, 8), 255).save(folder / "grey.png")
    Image.new("1", (8, 8), 1).save(folder / "one bit.png")
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / "transparent.png")
    Image.new("LA", (8, 8), (9, 0)).save(folder / "grey transparent.png")
    palette = Image.new("P", (8, 8), 7)
    palette.putpalette([9, 9, 9] * 256)
    palette.save(folder / "palette.png", transparency=7)
    frames = [Image.new("P", (8, 8), 0), Image.new("P", (8, 8), 1)]
    for frame in frames:
        frame.putpalette([255, 255, 255, 0, 0, 0])
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    turned = Image.new("RGB", (8, 4), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    turned.save(folder / "turned.jpg", exif=exif)
    (folder / "naïve ☃ картинка.jpg").write_bytes(jpeg(3))
    (folder / "SHOUTING.JPG").write_bytes(jpeg(4))
    white_pictures = (
        "cmyk.jpg", "sixteen bits.png", "grey.png", "one bit.png", "transparent.png",
        "grey transparent.png", "palette.png", "animated.gif", "turned.jpg",
    )  # fmt: skip
    noise_pictures = ("plain.jpg", "one pixel.png", "naïve ☃ картинка.jpg", "SHOUTING.JPG")
    pixels: dict[str, tuple[int, int, int] | None] = {}
    pixels |= dict.fromkeys(white_pictures, (255, 255, 255))
    pixels |= dict.fromkeys(noise_pictures)
    return pixels


def write_bad(folder: Path) -> dict[str, str]:
    """Writes files that must be rejected; returns {name: part of the reason}."""
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("This is not a picture.\n")
    whole = jpeg(5, (64, 64))
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "bomb.png").write_bytes(bomb())
    os.mkfifo(folder / "pipe.png")
    (folder / "broken link.png").symlink_to(folder / "nowhere.png")
    (folder / "link to itself.png").symlink_to(folder / "link to itself.png")
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(folder / "floats.tif")
    return {
        "empty.jpg": "empty (0 bytes)",
        "text.jpg": "not a picture",
        "truncated.jpg": "truncated",
        "bomb.png": "decompression bomb",
        "pipe.png": "not a file",
        "broken link.png": "no such file",
        "link to itself.png": "symbolic links",
        "script.png": "not a picture",
        "floats.tif": "8 bits per channel",
    }


def write_forbidden(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes a picture that raises PermissionError when it is opened, even by root."""
    path.write_bytes(jpeg(6))
    path.chmod(0)

    def refuse(name: Path | str, *args: Any) -> IO[Any]:
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return open(name, *args)

    if os.access(path, os.R_OK):
        monkeypatch.setattr(pictures, "open", refuse, raising=False)
