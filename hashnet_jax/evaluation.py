"""Codes of whole data sets, and their retrieval quality."""

import numpy as np

from hashnet_jax import parallel, processes
from hashnet_jax.data.pipeline import fill, image_batches
from hashnet_jax.hamming import pack_bits


def encode_all(params, source, indices, *, devices, batch_size, workers=0, progress=None):
    """Packed codes of the images ``source[i]`` for i in ``indices``, in that order.

    Of several processes each encodes its share, and all get the codes of all.

    Args:
      params: :class:`hashnet_jax.HashNetParams`.
      source: images by index, see :mod:`hashnet_jax.data.sources`.
      indices: int ``[N]``.
      devices: from :func:`hashnet_jax.parallel.local_devices`.
      batch_size: images at a time, a multiple of the number of devices; the last batch is filled
        up, so that one shape is compiled.
      workers: processes that load batches.
      progress: an entered :class:`hashnet_jax.progress.Progress` counting images, or None.

    Returns:
      uint8 ``[N, ceil(K/8)]``, see :func:`hashnet_jax.pack_bits`.
    """
    mine = indices[processes.share(len(indices))]
    batches = image_batches(
        source, mine, params.spec.resize, batch_size=batch_size, workers=workers
    )
    filled = ((len(images), fill(images, batch_size)) for images in batches)
    codes = [np.zeros((0, -(-params.spec.bits // 8)), np.uint8)]
    for number, packed in encode_batches(params, filled, devices=devices):
        codes.append(packed[:number])
        if progress is not None:
            progress.update(number)
    everywhere = processes.gather_rows(np.concatenate(codes), len(indices))
    if progress is not None and len(mine) < len(indices):
        progress.update(len(indices) - len(mine))
    return everywhere


def encode_batches(params, batches, *, devices):
    """Packed codes of batches; while one is encoded, the next is already fetched and handed over.

    Args:
      params: :class:`hashnet_jax.HashNetParams`.
      batches: iterable of ``(what, images)``, images as :func:`hashnet_jax.encode` takes them, not
        to be written to any more.
      devices: from :func:`hashnet_jax.parallel.local_devices`.

    Yields:
      ``(what, packed)``, uint8 ``[B, ceil(K/8)]``, in the order of the batches.
    """
    encode = parallel.compile_encode(devices)
    waiting = None
    for what, images in batches:
        packed = pack_bits(encode(params, images))
        if waiting is not None:
            yield waiting[0], np.asarray(waiting[1])
        waiting = what, packed
    if waiting is not None:
        yield waiting[0], np.asarray(waiting[1])
