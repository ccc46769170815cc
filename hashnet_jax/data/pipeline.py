"""Batches of a data set, read ahead by grain: shuffled and augmented to train, in order for use.

Training batch t is a function of (seed, t) alone: the seed and its epoch give the order of the
images, the seed and t their augmentation. So the number of the next batch *is* the data position
that a checkpoint needs, and it stays true if the number of workers or threads changes.
"""

import functools
import os
import signal

import absl.flags
import grain
import jax
import numpy as np

from hashnet_jax.data.augment import AUGMENTATIONS

MEMORY = 512 * 2**20  # bytes; fewer of squashed training images are held, where all are in memory

# Each holds a batch or two, and PIL lets the others run while it decodes and resizes.
THREADS = min(8, max(2, os.cpu_count()))

SHUFFLED, AUGMENTED = 0, 1  # what a random stream of a seed is for


class _TrainingBatch(grain.transforms.Map):
    """From the number t of a batch to its augmented images and labels."""

    def __init__(self, dataset, spec, augmentation, batch_size, seed, rows):
        self._spec, self._augmentation = spec, augmentation
        self._batch_size, self._seed, self._rows = batch_size, seed, rows
        indices = dataset.split.train
        self._labels = dataset.labels[indices]
        self._images = _TrainingImages(dataset.source, indices, spec.resize)

    def map(self, t):
        positions = batch_positions(
            self._seed, int(t), n=len(self._labels), batch_size=self._batch_size
        )
        rng = np.random.default_rng((self._seed, AUGMENTED, int(t)))
        # Numbers are drawn for the whole batch; images are read for these rows only.
        mine, side = positions[self._rows], self._spec.resize
        images = np.zeros((len(positions), side, side, 3), np.uint8)
        images[self._rows] = self._images[mine]
        images = AUGMENTATIONS[self._augmentation](images, self._spec, rng)[self._rows]
        return {"image": images, "label": self._labels[mine]}


class _TrainingImages:
    """The training images by position, squashed: once and for all where memory allows it."""

    def __init__(self, source, indices, size):
        self._source, self._indices, self._size = source, indices, size
        self._squashed = None
        if source.in_memory and len(indices) * size * size * 3 <= MEMORY:
            self._squashed = self._read(np.arange(len(indices)))
            self._source = None  # so that it does not go to the worker processes as well

    def _read(self, positions):
        images = np.empty((len(positions), self._size, self._size, 3), np.uint8)
        for image, index in zip(images, self._indices[positions], strict=True):
            image[:] = self._source.squashed(index, self._size)
        return images

    def __getitem__(self, positions):
        if self._squashed is None:
            return self._read(positions)
        return self._squashed[positions]


def batch_positions(seed, t, *, n, batch_size):
    """Which of the n training images are in batch t of the endless stream of shuffled epochs.

    An epoch gives whole batches only: one over its end could hold an image twice. What is left over
    waits for the next epoch, in another order.

    Args:
      seed: of the order, >= 0.
      t: number of the batch, >= 0.
      n: training images.
      batch_size: B, in 1..n.

    Returns:
      int ``[B]``, different ones of 0..n-1, read-only.

    Examples:
      >>> [batch_positions(0, t, n=5, batch_size=2).tolist() for t in range(3)]
      [[2, 4], [3, 0], [1, 3]]
    """
    epoch, place = divmod(t, n // batch_size)
    return _order(seed, epoch, n)[place * batch_size : (place + 1) * batch_size]


# Shared by the threads of a process, which are in one epoch or in two that follow each other.
@functools.lru_cache(maxsize=2)
def _order(seed, epoch, n):
    """The order of the n training images in an epoch.

    grain's own shuffle enciphers each index, which takes some 20 microseconds: for images as small
    as digits, far longer than all else that is done to them.
    """
    order = np.random.default_rng((seed, SHUFFLED, epoch)).permutation(n)
    order.setflags(write=False)
    return order


class _InOrder(grain.transforms.Map):
    """From a batch of indices to its squashed images."""

    def __init__(self, source, size):
        self._source, self._size = source, size

    def map(self, indices):
        return np.stack([self._source.squashed(i, self._size) for i in indices])


def training_batches(
    dataset,
    spec,
    *,
    augmentation,
    batch_size,
    start,
    stop,
    seed,
    threads=None,
    workers=0,
    rows=None,
):
    """Batches ``start`` .. ``stop - 1`` of the endless stream of shuffled epochs.

    Args:
      dataset: :class:`hashnet_jax.data.datasets.Dataset`.
      spec: :class:`hashnet_jax.ModelSpec`.
      augmentation: a name in ``AUGMENTATIONS``.
      batch_size: B, of the global batch.
      start: number of the first batch: the data position.
      stop: number of the batch to stop before.
      seed: of shuffle and augmentation.
      threads: that load batches ahead of time, in each process; None for ``THREADS``, or for two
        in each of several workers.
      workers: processes that load batches; 0 loads in this process.
      rows: slice of each batch to load, the share of one of several processes (see
        :func:`hashnet_jax.processes.share`); None loads the whole batch.

    Returns:
      An iterator of ``{"image": uint8 [B, S, S, 3], "label": [B] or [B, C]}``.

    Raises:
      ValueError: if the batch is larger than the training set, or has fewer than two images.
    """
    check_batch_size(batch_size, n_train=len(dataset.split.train))
    load = _TrainingBatch(dataset, spec, augmentation, batch_size, seed, rows or slice(None))
    batches = grain.MapDataset.range(start, stop).map(load)
    return iter(_read(batches, threads, workers))


def check_batch_size(batch_size, *, n_train):
    """Raises ValueError unless ``batch_size`` images make pairs and are all different ones."""
    if not 2 <= batch_size <= n_train:
        raise ValueError(
            f"batch_size must be in 2..{n_train} (the training images), got {batch_size}: a loss "
            "over pairs needs two images, and an image must not meet itself in a batch: change "
            "--batch-size."
        )


def image_batches(source, indices, size, *, batch_size, threads=None, workers=0):
    """Images in the order of ``indices``, squashed to ``size``; the last batch may be smaller.

    Returns:
      An iterator of uint8 ``[B, size, size, 3]``.
    """
    batches = (
        grain.MapDataset.source(np.asarray(indices))
        .batch(batch_size, batch_fn=np.asarray)
        .map(_InOrder(source, size))
    )
    return iter(_read(batches, threads, workers))


def fill(images, batch_size):
    """A last, smaller batch filled up with black images, so that one shape is compiled.

    Args:
      images: uint8 ``[n, H, W, 3]``, n at most ``batch_size``.
      batch_size: B, the number of images to fill up to.

    Returns:
      uint8 ``[B, H, W, 3]``: ``images`` first.

    Examples:
      >>> fill(np.ones((2, 8, 8, 3), np.uint8), 4).shape
      (4, 8, 8, 3)
    """
    if len(images) == batch_size:
        return images
    filled = np.zeros((batch_size, *images.shape[1:]), np.uint8)
    filled[: len(images)] = images
    return filled


def _read(batches, threads, workers):
    if threads is None:
        threads = 2 if workers else THREADS
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = batches.to_iter_dataset(options)
    if workers:
        if not absl.flags.FLAGS.is_parsed():
            # grain reads its own flags, which only a program started by absl has parsed.
            absl.flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers), worker_init_fn=_leave_interrupts
        )
        # Out of the shared memory that grain hands batches over in: a device array may alias it
        # and outlive it.
        dataset = dataset.map(lambda batch: jax.tree.map(np.array, batch))
    return dataset


def _leave_interrupts(worker, workers):
    # Ctrl-C reaches the whole process group; the main process saves and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
