"""Encodes a stream of pictures in batches."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.devices import Device, check_divisible
from hashnet_jax.index._decoding import Paths, Reasons, load_ahead, load_pixels
from hashnet_jax.index._picture_file import PictureFile, load_picture
from hashnet_jax.model import HashNetParams

# The recorded state of each picture file, or the reason it cannot be read.
Files = list[PictureFile | str]


def encode_pictures(
    params: HashNetParams,
    paths: Iterable[str | os.PathLike[str]],
    *,
    devices: Sequence[Device],
    batch_size: int,
) -> Iterator[tuple[Paths, Reasons, UInt8[np.ndarray, "n bytes"]]]:
    """Encodes a stream of picture files, keeping only a few batches in memory at a time.

    All batches have the same shape, so the network is compiled only once. Unreadable pictures are
    replaced with black images. The codes of a batch depend only on the pictures in that batch.

    Args:
      params: the network.
      paths: paths to the picture files.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`.
      batch_size: number of pictures per batch, a positive multiple of the number of devices.

    Returns:
      An iterator over batches ``(paths, reasons, packed)``, where ``paths`` are the next
      ``batch_size`` paths (fewer in the last batch), ``reasons`` contains, for each path, None or
      the reason why the picture is unreadable, and ``packed`` contains the codes of the n readable
      pictures, uint8 ``[n, ceil(K/8)]``.

    Raises:
      ValueError: if ``batch_size`` is not a positive multiple of the number of devices.
    """
    check_batch_size(batch_size, len(devices))
    return _encoded(params, load_ahead(paths, params.spec.resize, batch_size, load_pixels), devices)


def encode_files(
    params: Callable[[], HashNetParams],
    paths: Iterable[str | os.PathLike[str]],
    *,
    side: int,
    devices: Sequence[Device],
    batch_size: int,
) -> Iterator[tuple[Paths, Files, UInt8[np.ndarray, "n bytes"]]]:
    """Encodes pictures like :func:`encode_pictures`, and hashes each file in the same pass.

    Args:
      params: function that returns the network; called only if a picture can be read.
      paths: see :func:`encode_pictures`.
      side: side length of the decoded pictures, the network's ``spec.resize``.
      devices: see :func:`encode_pictures`.
      batch_size: see :func:`encode_pictures`.

    Yields:
      The batches of :func:`encode_pictures`, with a :class:`PictureFile` instead of None for each
      picture that can be read.
    """
    from hashnet_jax.training import encode_batches  # slow to import, and not needed for a search

    check_batch_size(batch_size, len(devices))
    loaded = load_ahead(paths, side, batch_size, load_picture)
    for is_readable, group in itertools.groupby(loaded, _has_readable):
        if is_readable:
            for (batch, files), packed in encode_batches(params(), group, devices=devices):
                readable = [i for i, file in enumerate(files) if isinstance(file, PictureFile)]
                yield batch, files, packed[readable]
        else:
            for (batch, files), _ in group:
                yield batch, files, np.empty((0, 0), np.uint8)


def _has_readable(loaded: tuple[tuple[Paths, Files], UInt8[np.ndarray, "B H W 3"]]) -> bool:
    (_, files), _ = loaded
    return any(isinstance(file, PictureFile) for file in files)


def check_batch_size(batch_size: int, n_devices: int) -> None:
    """Raises a ValueError unless ``batch_size`` is a positive multiple of ``n_devices``."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be >= 1, got {batch_size}.")
    check_divisible(batch_size, n_devices)


def _encoded(
    params: HashNetParams,
    batches: Iterable[tuple[tuple[Paths, Reasons], UInt8[np.ndarray, "B H W 3"]]],
    devices: Sequence[Device],
) -> Iterator[tuple[Paths, Reasons, UInt8[np.ndarray, "n bytes"]]]:
    from hashnet_jax.training import encode_batches

    for (paths, reasons), packed in encode_batches(params, batches, devices=devices):
        yield paths, reasons, packed[_readable(reasons)]


def _readable(reasons: Reasons) -> list[int]:
    """Returns the positions of the pictures that could be read."""
    return [i for i, reason in enumerate(reasons) if reason is None]
