"""Batches prefetched by grain: shuffled and augmented for training, in a given order for encoding.

Training batch t depends only on (seed, t): the order of the images is determined by the seed and
the epoch, and their augmentation by the seed and t. A checkpoint therefore only needs to store the
index of the next batch, which is valid for any number of workers and threads.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any, SupportsIndex

import absl.flags
import grain
import jax
import numpy as np
from jaxtyping import Integer, UInt8

from hashnet_jax.data._dataset import Dataset
from hashnet_jax.data._order import AUGMENTATION_STREAM, batch_positions, check_batch_size
from hashnet_jax.data.augmentation import AUGMENTATIONS, Augmentation
from hashnet_jax.data.sources import ImageSource
from hashnet_jax.data.splits import Indices
from hashnet_jax.model import ModelSpec

# If the source is in memory, the squashed training images are kept in memory too, up to this size.
MAX_HELD_BYTES = 512 * 2**20

# Each thread holds one or two batches, and PIL releases the GIL while it decodes and resizes.
DEFAULT_THREADS = min(8, max(2, os.cpu_count() or 1))


def training_batches(
    dataset: Dataset,
    spec: ModelSpec,
    *,
    augmentation: str,
    batch_size: int,
    start: int,
    stop: int,
    seed: int,
    threads: int | None = None,
    workers: int = 0,
    rows: slice | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Returns batches ``start`` .. ``stop - 1`` of an endless stream of shuffled epochs.

    Args:
      dataset: the data set, :class:`hashnet_jax.data.Dataset`.
      spec: the network's spec, :class:`hashnet_jax.ModelSpec`.
      augmentation: name of an augmentation in :data:`hashnet_jax.data.augmentation.AUGMENTATIONS`.
      batch_size: B, the global batch size.
      start: index of the first batch; checkpoints store this index as the data position.
      stop: index one past the last batch.
      seed: seed for shuffling and augmentation, >= 0.
      threads: number of prefetching threads per process; None means 2 if there are worker
        processes, otherwise ``DEFAULT_THREADS``.
      workers: number of worker processes that load batches; 0 to load in this process.
      rows: slice of each batch to load, if several processes share each batch (see
        :func:`hashnet_jax.distributed.processes.share`); None for the whole batch.

    Returns:
      An iterator over ``{"image": uint8 [B, S, S, 3], "label": [B] or [B, C]}``.

    Raises:
      ValueError: if the batch is larger than the training set or has fewer than two images, or if
        the augmentation is unknown.
    """
    check_batch_size(batch_size, n_train=len(dataset.split.train))
    if augmentation not in AUGMENTATIONS:
        raise ValueError(
            f"`augmentation` must be one of {', '.join(AUGMENTATIONS)}, got {augmentation!r}."
        )
    augment = AUGMENTATIONS[augmentation]
    load = _TrainingBatch(dataset, spec, augment, batch_size, seed, rows or slice(None))
    batches = grain.MapDataset.range(start, stop).map(load)
    return iter(_prefetch(batches, threads, workers))


def image_batches(
    source: ImageSource,
    indices: Indices,
    size: int,
    *,
    batch_size: int,
    threads: int | None = None,
    workers: int = 0,
) -> Iterator[UInt8[np.ndarray, "n size size 3"]]:
    """Returns batches of images, squashed to squares, in the order of ``indices``.

    Args:
      source: the images, accessed by index; see :mod:`hashnet_jax.data.sources`.
      indices: indices of the images, int ``[N]``.
      size: side length of the squashed images, in pixels.
      batch_size: B, number of images per batch.
      threads, workers: see :func:`training_batches`.

    Returns:
      An iterator over uint8 ``[B, size, size, 3]``; the last batch may be smaller.
    """
    in_order: Any = np.asarray(indices)
    batches = (
        grain.MapDataset.source(in_order)
        .batch(batch_size, batch_fn=np.asarray)
        .map(_SquashedBatch(source, size))
    )
    return iter(_prefetch(batches, threads, workers))


def fill(images: UInt8[np.ndarray, "n H W C"], batch_size: int) -> UInt8[np.ndarray, "B H W C"]:
    """Pads a smaller last batch with black images, so programs are compiled for only one shape.

    Args:
      images: uint8 ``[n, H, W, 3]``, n at most ``batch_size``.
      batch_size: B, the number of images to pad to.

    Returns:
      ``images`` followed by the padding, uint8 ``[B, H, W, 3]``.

    Examples:
      >>> fill(np.ones((2, 8, 8, 3), np.uint8), 4).shape
      (4, 8, 8, 3)
    """
    if len(images) == batch_size:
        return images
    padded = np.zeros((batch_size, *images.shape[1:]), np.uint8)
    padded[: len(images)] = images
    return padded


class _TrainingBatch:
    """Maps a batch index t to the batch's augmented images and labels."""

    def __init__(
        self,
        dataset: Dataset,
        spec: ModelSpec,
        augment: Augmentation,
        batch_size: int,
        seed: int,
        rows: slice,
    ) -> None:
        self._spec, self._augment = spec, augment
        self._batch_size, self._seed, self._rows = batch_size, seed, rows
        indices = dataset.split.train
        self._labels = dataset.labels[indices]
        self._images = _TrainingImages(dataset.source, indices, spec.resize)

    def __call__(self, number: SupportsIndex) -> dict[str, np.ndarray]:
        t = int(number)
        positions = batch_positions(self._seed, t, n=len(self._labels), batch_size=self._batch_size)
        rng = np.random.default_rng((self._seed, AUGMENTATION_STREAM, t))
        # Random numbers are drawn for the whole batch, but images are read only for these rows.
        mine, side = positions[self._rows], self._spec.resize
        images = np.zeros((len(positions), side, side, 3), np.uint8)
        images[self._rows] = self._images[mine]
        augmented = self._augment(images, self._spec, rng)[self._rows]
        return {"image": augmented, "label": self._labels[mine]}


class _TrainingImages:
    """Training images resized to squares, indexed by position; held in memory if they fit."""

    def __init__(self, source: ImageSource, indices: Integer[np.ndarray, " N"], size: int) -> None:
        self._source, self._indices, self._size = source, indices, size
        self._held: np.ndarray | None = None
        if source.in_memory and len(indices) * size * size * 3 <= MAX_HELD_BYTES:
            self._held = self._read(np.arange(len(indices)))
            del self._source  # so that it is not copied to worker processes

    def __getitem__(self, positions: Integer[np.ndarray, " n"]) -> UInt8[np.ndarray, "n R R 3"]:
        return self._read(positions) if self._held is None else self._held[positions]

    def _read(self, positions: Integer[np.ndarray, " n"]) -> UInt8[np.ndarray, "n R R 3"]:
        images = np.empty((len(positions), self._size, self._size, 3), np.uint8)
        for image, index in zip(images, self._indices[positions], strict=True):
            image[:] = self._source.squashed(index, self._size)
        return images


class _SquashedBatch:
    """Maps a batch of indices to the corresponding images, squashed to squares."""

    def __init__(self, source: ImageSource, size: int) -> None:
        self._source, self._size = source, size

    def __call__(self, indices: Integer[np.ndarray, " n"]) -> UInt8[np.ndarray, "n R R 3"]:
        return np.stack([self._source.squashed(index, self._size) for index in indices])


def _prefetch(batches: grain.MapDataset, threads: int | None, workers: int) -> grain.IterDataset:
    if threads is None:
        threads = 2 if workers else DEFAULT_THREADS
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = batches.to_iter_dataset(options)
    if workers:
        if not absl.flags.FLAGS.is_parsed():
            # grain reads absl flags, which are parsed only in programs started by absl.
            absl.flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers), worker_init_fn=_ignore_interrupts
        )
        # grain passes batches in shared memory, which a device array could alias and outlive.
        dataset = dataset.map(_copy_arrays)
    return dataset


def _copy_arrays(batch: Any) -> Any:
    return jax.tree.map(np.array, batch)


def _ignore_interrupts(worker: int, workers: int) -> None:
    # Ctrl-C reaches the whole process group; the main process saves, then stops the workers.
    del worker, workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
