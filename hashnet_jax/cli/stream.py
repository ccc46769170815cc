"""Pictures to packed codes, in batches, decoded in threads ahead of the device."""

import collections
import concurrent.futures
import itertools
import os

import numpy as np

from hashnet_jax import parallel
from hashnet_jax.data.pictures import UnreadablePicture
from hashnet_jax.data.sources import read_squashed
from hashnet_jax.hamming import pack_bits

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
    encode = parallel.compile_encode(devices)
    side = params.spec.resize
    for batch, loaded in _load_ahead(paths, side, batch_size):
        images = np.zeros((batch_size, side, side, 3), np.uint8)
        reasons = []
        for place, (image, reason) in zip(images, loaded, strict=False):
            reasons.append(reason)
            if reason is None:
                place[:] = image
        packed = np.asarray(pack_bits(encode(params, images)))
        yield batch, reasons, packed[[i for i, reason in enumerate(reasons) if reason is None]]


def _load_ahead(paths, side, batch_size):
    paths, waiting = iter(paths), collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        while True:
            while len(waiting) < AHEAD and (batch := tuple(itertools.islice(paths, batch_size))):
                waiting.append((batch, [pool.submit(_load, path, side) for path in batch]))
            if not waiting:
                return
            batch, futures = waiting.popleft()
            yield batch, [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


def _load(path, side):
    try:
        return read_squashed(path, side), None
    except UnreadablePicture as error:
        return None, str(error)
