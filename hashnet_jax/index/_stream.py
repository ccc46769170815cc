"""Encodes a stream of pictures in batches, while threads decode the next batches."""

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Array, Float32, UInt8

from hashnet_jax.data.pictures import UnreadablePicture
from hashnet_jax.data.sources import read_squashed
from hashnet_jax.distributed.devices import Device, check_divisible, map_rows
from hashnet_jax.index._picture_file import PictureFile, load_picture
from hashnet_jax.model import HashNetParams, logits, preprocess

BATCHES_AHEAD = 3

Paths = tuple[str | os.PathLike[str], ...]
Reasons = list[str | None]
# The recorded state of each picture file, or the reason it cannot be read.
Files = list[PictureFile | str]

T = TypeVar("T")
# Reads a picture into an array. Its return value is passed on with the batch.
Load = Callable[[str | os.PathLike[str], UInt8[np.ndarray, "H W 3"]], T]
# Computes logits [B, K] from a network and decoded pictures [B, H, W, 3].
Program = Callable[[HashNetParams, UInt8[Array | np.ndarray, "B H W 3"]], Array]


def encode_pictures(
    params: HashNetParams,
    paths: Iterable[str | os.PathLike[str]],
    *,
    devices: Sequence[Device],
    batch_size: int,
) -> Iterator[tuple[Paths, Reasons, UInt8[np.ndarray, "n bytes"]]]:
    """Encodes a stream of picture files, keeping only a few batches in memory at a time.

    All batches have the same shape, so the network is compiled only once. Unreadable pictures are
    replaced with black images. The codes of a batch depend only on the pictures in that batch, so a
    stream that starts at a later batch yields the same codes for the remaining pictures.

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
    return _encoded(params, _load_ahead(paths, params.spec.resize, batch_size, _load), devices)


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
    loaded = _load_ahead(paths, side, batch_size, load_picture)
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


@jax.jit
def query_logits(
    params: HashNetParams, images: UInt8[Array | np.ndarray, "B H W 3"]
) -> Float32[Array, "B K"]:
    """Computes the logits of decoded pictures ``[B, H, W, 3]``; the logits' signs are the codes."""
    return logits(params, preprocess(images, params.spec))


def picture_logits(
    params: HashNetParams,
    paths: Iterable[str | os.PathLike[str]],
    *,
    devices: Sequence[Device],
    batch_size: int,
    program: Program = query_logits,
) -> Iterator[tuple[Paths, Reasons, Float32[np.ndarray, "n K"]]]:
    """Computes the logits of a stream of picture files; their signs are the codes.

    Yields the batches of :func:`encode_pictures`, with float32 logits ``[n, K]`` instead of packed
    codes. The signs can differ from the codes of :func:`encode_pictures` where a logit is 0 up to
    rounding.

    Args:
      params: see :func:`encode_pictures`.
      paths: see :func:`encode_pictures`.
      devices: see :func:`encode_pictures`.
      batch_size: see :func:`encode_pictures`.
      program: a jitted function equivalent to :func:`query_logits`.
    """
    check_batch_size(batch_size, len(devices))
    compiled = map_rows(program, devices)
    for (batch, reasons), images in _load_ahead(paths, params.spec.resize, batch_size, _load):
        yield batch, reasons, np.asarray(compiled(params, images))[_readable(reasons)]


def _readable(reasons: Reasons) -> list[int]:
    """Returns the positions of the pictures that could be read."""
    return [i for i, reason in enumerate(reasons) if reason is None]


def _load_ahead(
    paths: Iterable[str | os.PathLike[str]], side: int, batch_size: int, load: Load[T]
) -> Iterator[tuple[tuple[Paths, list[T]], UInt8[np.ndarray, "B H W 3"]]]:
    """Yields batches ``((paths, results of load), images)``; unreadable pictures are black."""
    left, waiting = iter(paths), collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        while True:
            while len(waiting) < BATCHES_AHEAD and (
                batch := tuple(itertools.islice(left, batch_size))
            ):
                images = np.zeros((batch_size, side, side, 3), np.uint8)
                loads = [pool.submit(load, *to) for to in zip(batch, images, strict=False)]
                waiting.append((batch, images, loads))
            if not waiting:
                return
            batch, images, loads = waiting.popleft()
            yield (batch, [load.result() for load in loads]), images
    finally:
        pool.shutdown(cancel_futures=True)


def _load(path: str | os.PathLike[str], image: UInt8[np.ndarray, "H W 3"]) -> str | None:
    """Reads a picture into ``image``; returns the reason if this fails, otherwise None."""
    try:
        image[:] = read_squashed(path, len(image))
    except UnreadablePicture as error:
        return str(error)
    return None
