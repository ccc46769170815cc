"""Pictures to packed codes, in batches, decoded in threads ahead of the device."""

import collections
import concurrent.futures
import itertools
import os

import numpy as np

from hashnet_jax import parallel
from hashnet_jax.data.pictures import UnreadablePicture
from hashnet_jax.data.sources import read_squashed
from hashnet_jax.evaluation import encode_batches

AHEAD = 3  # batches that are decoded or being decoded while the device computes


def encode_pictures(params, paths, *, devices, batch_size):
    """Packed codes of pictures in files, as a stream: memory holds a few batches, whatever comes.

    A batch has one shape, so that it is compiled once; what cannot be read leaves its place empty.
    So the codes of a batch depend on nothing but its paths, and a stream that starts at a later
    batch gives the same.

    Args:
      params: :class:`hashnet_jax.HashNetParams`.
      paths: iterable of paths.
      devices: from :func:`hashnet_jax.parallel.local_devices`.
      batch_size: pictures at a time, a multiple of the number of devices.

    Yields:
      ``(paths, reasons, packed)`` of a batch: the next ``batch_size`` paths or what is left; why
      each cannot be read, or None; uint8 ``[n, ceil(K/8)]`` of the n that can.

    Raises:
      ValueError: if the batch size is no multiple of the number of devices.
    """
    if batch_size < 1:
        raise ValueError(f"the batch size must be >= 1, got {batch_size}: change --batch-size.")
    parallel.check_splits(batch_size, len(devices))
    batches = _load_ahead(paths, params.spec.resize, batch_size)
    for (batch, reasons), packed in encode_batches(params, batches, devices=devices):
        yield batch, reasons, packed[[i for i, reason in enumerate(reasons) if reason is None]]


def _load_ahead(paths, side, batch_size):
    """``((paths, reasons), images)`` of each batch; where there is a reason, the image is black."""
    paths, waiting = iter(paths), collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        while True:
            while len(waiting) < AHEAD and (batch := tuple(itertools.islice(paths, batch_size))):
                images = np.zeros((batch_size, side, side, 3), np.uint8)
                loads = [pool.submit(_load, *to) for to in zip(batch, images, strict=False)]
                waiting.append((batch, images, loads))
            if not waiting:
                return
            batch, images, loads = waiting.popleft()
            yield (batch, [load.result() for load in loads]), images
    finally:
        pool.shutdown(cancel_futures=True)


def _load(path, image):
    """Reads a picture into ``image``; why it cannot be read, or None."""
    try:
        image[:] = read_squashed(path, len(image))
    except UnreadablePicture as error:
        return str(error)
