"""Batches of a data set, by grain: shuffled and augmented for training, in order for use.

Training batch t is a function of (seed, t) alone: grain's pipeline is read at random, its shuffle
and its augmentation are keyed by position. So the number of the next batch *is* the data position
that a checkpoint needs, and it stays true if the number of workers or threads changes.
"""

import signal

import absl.flags
import grain
import jax
import numpy as np

from hashnet_jax.data.augment import AUGMENTATIONS
from hashnet_jax.data.sources import squash


class _Augmented(grain.transforms.RandomMap):
    """From a batch of positions in the training set to its augmented images and labels."""

    def __init__(self, dataset, spec, augmentation, rows):
        self._dataset, self._spec, self._augmentation = dataset, spec, augmentation
        self._rows = rows

    def random_map(self, positions, rng):
        augment = AUGMENTATIONS[self._augmentation]
        indices = self._dataset.split.train[positions]
        mine = indices[self._rows]
        # For the rows before them numbers are drawn, but no image is read.
        for _ in indices[: self._rows.start]:
            augment(np.zeros((1, 1, 3), np.uint8), self._spec, rng)
        images = [augment(self._dataset.source[i], self._spec, rng) for i in mine]
        return {"image": np.stack(images), "label": self._dataset.labels[mine]}


class _InOrder(grain.transforms.Map):
    """From a batch of indices to its squashed images."""

    def __init__(self, source, size):
        self._source, self._size = source, size

    def map(self, indices):
        return np.stack([squash(self._source[i], self._size) for i in indices])


def training_batches(
    dataset, spec, *, augmentation, batch_size, start, stop, seed, threads=2, workers=0, rows=None
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
      threads: that load batches ahead of time, in each process.
      workers: processes that load batches; 0 loads in this process.
      rows: slice of the batch to load, with a start: the share of one of several processes, see
        :func:`hashnet_jax.processes.share`. None loads all.

    Returns:
      An iterator of ``{"image": uint8 [B, S, S, 3], "label": [B] or [B, C]}``.

    Raises:
      ValueError: if the batch is larger than the training set, or has fewer than two images.
    """
    check_batch_size(batch_size, n_train=len(dataset.split.train))
    batches = (
        grain.MapDataset.range(len(dataset.split.train))
        .seed(seed)
        .shuffle()
        # Before repeat: a batch over the end of an epoch could hold an image twice. What is left
        # over differs from epoch to epoch.
        .batch(batch_size, drop_remainder=True, batch_fn=np.asarray)
        .repeat()
        .random_map(_Augmented(dataset, spec, augmentation, rows or slice(0, batch_size)))
    )
    return iter(_read(batches[start:stop], threads, workers))


def check_batch_size(batch_size, *, n_train):
    """Raises ValueError unless ``batch_size`` images make pairs and are all different ones."""
    if not 2 <= batch_size <= n_train:
        raise ValueError(
            f"batch_size must be in 2..{n_train} (the training images), got {batch_size}: a loss "
            "over pairs needs two images, and an image must not meet itself in a batch: change "
            "--batch-size."
        )


def image_batches(source, indices, size, *, batch_size, threads=2, workers=0):
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


def _read(batches, threads, workers):
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
