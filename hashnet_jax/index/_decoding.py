"""Decodes a stream of pictures in batches, while threads decode the next batches."""

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.data.pictures import UnreadablePicture
from hashnet_jax.data.sources import read_squashed

BATCHES_AHEAD = 3

Paths = tuple[str | os.PathLike[str], ...]
Reasons = list[str | None]

T = TypeVar("T")
# Reads a picture into an array. Its return value is passed on with the batch.
Load = Callable[[str | os.PathLike[str], UInt8[np.ndarray, "H W 3"]], T]


def decode_pictures(
    paths: Iterable[str | os.PathLike[str]], *, side: int, batch_size: int
) -> Iterator[tuple[Paths, Reasons, UInt8[np.ndarray, "B S S 3"]]]:
    """Decodes a stream of picture files, keeping only a few batches in memory at a time.

    Args:
      paths: paths to the picture files.
      side: S, the side length of the decoded pictures, in pixels.
      batch_size: B, the number of pictures per batch.

    Yields:
      Batches ``(paths, reasons, images)``: the next B paths (fewer in the last batch); for each
      path, None or the reason why the picture is unreadable; and uint8 ``[B, S, S, 3]``, in which
      unreadable and missing pictures are black.
    """
    for (batch, reasons), images in load_ahead(paths, side, batch_size, load_pixels):
        yield batch, reasons, images


def load_ahead(
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


def load_pixels(path: str | os.PathLike[str], image: UInt8[np.ndarray, "H W 3"]) -> str | None:
    """Reads a picture into ``image``; returns the reason if this fails, otherwise None."""
    try:
        image[:] = read_squashed(path, len(image))
    except UnreadablePicture as error:
        return str(error)
    return None
