"""Features of a frozen backbone: computed once, kept in a file, trained on and searched with."""

import dataclasses
import hashlib
import json

import jax
import numpy as np

from hashnet_jax import parallel
from hashnet_jax.data.pipeline import batch_positions, check_batch_size, fill, image_batches
from hashnet_jax.encode import encode
from hashnet_jax.files import write_whole
from hashnet_jax.hamming import pack_bits
from hashnet_jax.progress import Progress

IMAGES = 64  # that the backbone sees at a time, or a few more: a multiple of the devices
ROWS = 4096  # of features that the hash layer sees at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of some images of a data set.

    Attributes:
      array: float32 ``[M, D]``.
      indices: int ``[M]``, sorted: of the images in the data set's source.

    Examples:
      >>> features = Features(np.array([[0.5], [1.5]], np.float32), np.array([3, 7]))
      >>> features.of([7, 7, 3]).tolist()
      [[1.5], [1.5], [0.5]]
    """

    array: np.ndarray
    indices: np.ndarray

    def of(self, indices):
        """float32 ``[N, D]`` of the images at ``indices``, which must be among ``self.indices``."""
        return np.asarray(self.array[np.searchsorted(self.indices, indices)])


def cached_features(folder, params, dataset, *, devices, workers=0):
    """Features of all images of the split, from the file in ``folder`` or computed into it.

    The file's name holds a hash of the backbone's weights, the preprocessing, the split, and names
    and labels of the images, so that other ones never pass for these. It appears whole or not at
    all.

    Args:
      folder: where the file is, or will be.
      params: :class:`hashnet_jax.HashNetParams`, with its backbone.
      dataset: :class:`hashnet_jax.data.dataset.Dataset`.
      devices: from :func:`hashnet_jax.parallel.local_devices`.
      workers: processes that load images.

    Returns:
      :class:`Features`, read from the disk as they are asked for.

    Raises:
      ValueError: if the file is damaged.
    """
    indices = np.unique(np.concatenate([getattr(dataset.split, p) for p in dataset.split.sizes()]))
    path = folder / f"features-{_key(params, dataset, indices)}.npy"
    if not path.is_file():
        with Progress(len(indices), "computing features", "image") as progress:
            array = compute_features(
                params, dataset.source, indices, devices=devices, workers=workers, progress=progress
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: np.save(file, array))
    try:
        return Features(np.load(path, mmap_mode="r", allow_pickle=False), indices)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{path} must hold the features that a run computed, got a damaged file ({error}): "
            "remove it, and they are computed again."
        ) from error


def compute_features(params, source, indices, *, devices, workers=0, progress=None):
    """Features of images at use: test preprocessing, running statistics, no dropout.

    Args:
      params: :class:`hashnet_jax.HashNetParams`.
      source: images by index, see :mod:`hashnet_jax.data.sources`.
      indices: int ``[N]``.
      devices: from :func:`hashnet_jax.parallel.local_devices`.
      workers: processes that load images.
      progress: an entered :class:`hashnet_jax.progress.Progress` counting images, or None.

    Returns:
      float32 ``[N, D]``.
    """
    backbone = parallel.compile_features(devices)
    batch_size = -(-IMAGES // len(devices)) * len(devices)
    rows = []
    for images in image_batches(
        source, indices, params.spec.resize, batch_size=batch_size, workers=workers
    ):
        given = fill(images, batch_size)
        rows.append(np.asarray(backbone(params, given), np.float32)[: len(images)])
        if progress is not None:
            progress.update(len(images))
    return np.concatenate(rows)


def feature_batches(features, dataset, start, *, batch_size, stop, seed):
    """Training batches ``start`` .. ``stop - 1`` of the endless stream of shuffled epochs.

    Batch t is a function of (seed, t) alone, and holds the same images as that of
    :func:`hashnet_jax.data.pipeline.training_batches`.

    Args:
      features: :class:`Features`.
      dataset: :class:`hashnet_jax.data.dataset.Dataset`.
      start: number of the first batch: the data position.
      batch_size: B, of the global batch.
      stop: number of the batch to stop before.
      seed: of the order, >= 0.

    Returns:
      An iterator of ``{"image": float32 [B, D], "label": [B] or [B, C]}``.

    Raises:
      ValueError: if the batch is larger than the training set, or has fewer than two images.
    """
    indices = dataset.split.train
    check_batch_size(batch_size, n_train=len(indices))
    trained, labels = features.of(indices), dataset.labels[indices]

    def batches():
        for t in range(start, stop):
            rows = batch_positions(seed, t, n=len(indices), batch_size=batch_size)
            yield {"image": trained[rows], "label": labels[rows]}

    return batches()


def encode_features(layer, features, indices):
    """Packed codes of images whose features are known.

    Args:
      layer: of :func:`hashnet_jax.frozen.hash_layer`.
      features: :class:`Features`.
      indices: int ``[N]``.

    Returns:
      uint8 ``[N, ceil(K/8)]``, see :func:`hashnet_jax.pack_bits`.
    """
    return np.concatenate(
        [
            np.asarray(pack_bits(encode(layer, features.of(indices[first : first + ROWS]))))
            for first in range(0, len(indices), ROWS)
        ]
    )


def _key(params, dataset, indices):
    """16 hexadecimal digits that stand for everything that features depend on."""
    spec = dataclasses.asdict(params.spec)
    del spec["bits"]
    content = hashlib.sha256(json.dumps([spec, dataset.name, dataset.names]).encode())
    for array in (indices, dataset.labels):
        content.update(np.ascontiguousarray(array))
    for kind in ("params", "batch_stats"):
        backbone = params.variables[kind].get("backbone", {})
        for path, leaf in jax.tree.leaves_with_path(backbone):
            content.update(jax.tree_util.keystr(path).encode())
            content.update(np.ascontiguousarray(leaf))
    return content.hexdigest()[:16]
