"""Encodes whole data sets."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Int, Num, UInt8

from hashnet_jax.codes import bytes_per_code, pack_bits
from hashnet_jax.data import ImageSource
from hashnet_jax.data.pipeline import fill, image_batches
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import Device, map_rows
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.model import HashNetParams, encode


def encode_dataset(
    params: HashNetParams,
    source: ImageSource,
    indices: Int[np.ndarray, " N"],
    *,
    devices: Sequence[Device],
    batch_size: int,
    workers: int = 0,
    progress: Progress | None = None,
) -> UInt8[np.ndarray, "N bytes"]:
    """Encodes the images ``source[i]`` for i in ``indices``, in that order.

    With several processes, each process encodes its share of the images, and every process returns
    all codes.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams`.
      source: the images, accessed by index; see :mod:`hashnet_jax.data.sources`.
      indices: indices of the images, int ``[N]``.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`.
      batch_size: number of images per batch, a multiple of the number of devices. The last batch is
        padded, so that programs are compiled for only one shape.
      workers: number of worker processes that load batches; 0 uses threads in this process.
      progress: an open :class:`hashnet_jax.distributed.progress.Progress` that counts images, or
        None.

    Returns:
      Packed codes, uint8 ``[N, ceil(K/8)]``; see :func:`hashnet_jax.pack_bits`.

    Examples:
      >>> import hashnet_jax, jax
      >>> from hashnet_jax.data import ArraySource
      >>> from hashnet_jax.distributed.devices import local_devices
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> source = ArraySource(np.zeros((5, 8, 8, 3), np.uint8))
      >>> settings = {"devices": local_devices(1), "batch_size": 4}
      >>> encode_dataset(params, source, np.arange(5), **settings).shape
      (5, 2)
    """
    own = indices[processes.share(len(indices))]
    batches = image_batches(source, own, params.spec.resize, batch_size=batch_size, workers=workers)
    padded = ((len(images), fill(images, batch_size)) for images in batches)
    codes = [np.zeros((0, bytes_per_code(params.spec.bits)), np.uint8)]
    for number, packed in encode_batches(params, padded, devices=devices):
        codes.append(packed[:number])
        if progress is not None:
            progress.update(number)
    all_codes = processes.gather_rows(np.concatenate(codes), len(indices))
    if progress is not None and len(own) < len(indices):
        progress.update(len(indices) - len(own))
    return all_codes


def encode_batches(
    params: HashNetParams,
    batches: Iterable[tuple[Any, Num[Array | np.ndarray, "B ..."]]],
    *,
    devices: Sequence[Device],
) -> Iterator[tuple[Any, UInt8[np.ndarray, "B bytes"]]]:
    """Encodes batches, loading and dispatching the next batch while the current one is encoded.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams`.
      batches: pairs ``(tag, images)``, with images in the format of :func:`hashnet_jax.encode`. The
        caller must not modify the images afterwards.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`.

    Yields:
      ``(tag, packed)`` in the order of the batches, with ``packed`` uint8 ``[B, ceil(K/8)]``.

    Examples:
      >>> import hashnet_jax, jax
      >>> from hashnet_jax.distributed.devices import local_devices
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> batches = [("cats", np.zeros((2, 9, 9, 3), np.uint8))]
      >>> for tag, packed in encode_batches(params, batches, devices=local_devices(1)):
      ...     print(tag, packed.shape)
      cats (2, 2)
    """
    compiled = map_rows(encode, devices)
    pending = None
    for tag, images in batches:
        packed = pack_bits(compiled(params, images))
        if pending is not None:
            yield pending[0], np.asarray(pending[1])
        pending = tag, packed
    if pending is not None:
        yield pending[0], np.asarray(pending[1])
