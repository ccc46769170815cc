"""Computes the features of a frozen backbone once, and caches them on disk."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

import hashnet_jax
from hashnet_jax.codes import pack_bits
from hashnet_jax.data import Dataset, ImageSource
from hashnet_jax.data.content import content_digest
from hashnet_jax.data.pipeline import batch_positions, check_batch_size, fill, image_batches
from hashnet_jax.distributed.array_cache import load_array, save_array
from hashnet_jax.distributed.devices import Device, map_rows
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.model import HashNetParams, encode, extract_features, preprocess
from hashnet_jax.training._feature_scale import FeatureScale

BACKBONE_BATCH_SIZE = 64  # rounded up to a multiple of the number of devices
HASH_LAYER_BATCH_SIZE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class CachedFeatures:
    """Backbone features for a subset of a data set's images.

    Attributes:
      array: features, float32 ``[N, D]``.
      indices: sorted indices of the images in the data set's source, int ``[N]``.
      scale: the mean and standard deviation with which :meth:`take` standardizes the features;
        None to return them unchanged.

    Examples:
      >>> features = CachedFeatures(np.array([[0.5], [1.5]], np.float32), np.array([3, 7]))
      >>> features.take(np.array([7, 7, 3])).tolist()
      [[1.5], [1.5], [0.5]]
    """

    array: Float[np.ndarray, "N D"]
    indices: Int[np.ndarray, " N"]
    scale: FeatureScale | None = None

    def take(self, indices: Int[np.ndarray, " M"]) -> Float[np.ndarray, "M D"]:
        """Returns features for the images at ``indices``, a subset of ``self.indices``."""
        features = np.asarray(self.array[np.searchsorted(self.indices, indices)])
        return features if self.scale is None else self.scale.apply(features)


def load_or_compute_features(
    folder: Path,
    params: HashNetParams,
    dataset: Dataset,
    *,
    devices: Sequence[Device],
    workers: int = 0,
) -> CachedFeatures:
    """Loads the cached features of all images in the split, or computes and saves them.

    The file's name contains a hash of everything the features depend on: the backbone's weights,
    the preprocessing, and the content of the images in the split. The features of other images are
    therefore never loaded, even if those images have the same names and labels. To compute this
    hash, all image files are read once, but not decoded. The name also contains a hash of the
    features, to detect a damaged file. Such a file is reported on stderr, and the features are
    computed again.

    Args:
      folder: folder for the file; created if missing. If the file cannot be written, a note is
        printed to stderr, and the features are kept only in memory.
      params: the network, :class:`hashnet_jax.HashNetParams`, including the backbone.
      dataset: the data set, :class:`hashnet_jax.data.Dataset`.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`.
      workers: number of worker processes that load images; 0 uses threads in this process.

    Returns:
      :class:`CachedFeatures`, memory-mapped: features are read from disk when they are used.
    """
    split = dataset.split
    indices = np.unique(
        np.concatenate([split.train, split.query, split.database, split.validation])
    )
    with Progress(len(indices), "hashing pictures", "image") as progress:
        content = content_digest(dataset.source, indices, progress=progress)
    stem = f"features-{_cache_key(params, content)}"

    def load() -> np.ndarray | None:
        return load_array(folder, stem, is_valid=lambda array: _are_features(array, len(indices)))

    array = load()
    if array is None:
        with Progress(len(indices), "computing features", "image") as progress:
            array = compute_features(
                params, dataset.source, indices, devices=devices, workers=workers, progress=progress
            )
        save_array(folder, stem, array)
        mapped = load()
        array = array if mapped is None else mapped
    return CachedFeatures(array, indices)


def compute_features(
    params: HashNetParams,
    source: ImageSource,
    indices: Int[np.ndarray, " N"],
    *,
    devices: Sequence[Device],
    workers: int = 0,
    progress: Progress | None = None,
) -> Float[np.ndarray, "N D"]:
    """Computes features in inference mode, with running statistics and without dropout.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams`.
      source: the images, accessed by index; see :mod:`hashnet_jax.data.sources`.
      indices: indices of the images, int ``[N]``, N >= 1.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`.
      workers: number of worker processes that load images; 0 uses threads in this process.
      progress: an open :class:`hashnet_jax.distributed.progress.Progress` that counts images, or
        None.

    Returns:
      Features, float32 ``[N, D]``.

    Examples:
      >>> import hashnet_jax
      >>> from hashnet_jax.data import ArraySource
      >>> from hashnet_jax.distributed.devices import local_devices
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> source = ArraySource(np.zeros((5, 8, 8, 3), np.uint8))
      >>> compute_features(params, source, np.arange(5), devices=local_devices(1)).shape
      (5, 256)
    """
    backbone = map_rows(_features_of_pixels, devices)
    batch_size = -(-BACKBONE_BATCH_SIZE // len(devices)) * len(devices)
    rows = []
    for images in image_batches(
        source, indices, params.spec.resize, batch_size=batch_size, workers=workers
    ):
        padded = fill(images, batch_size)
        rows.append(np.asarray(backbone(params, padded), np.float32)[: len(images)])
        if progress is not None:
            progress.update(len(images))
    return np.concatenate(rows)


def feature_batches(
    features: CachedFeatures,
    dataset: Dataset,
    start: int,
    *,
    batch_size: int,
    stop: int,
    seed: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Returns training batches ``start`` .. ``stop - 1`` of an endless stream of shuffled epochs.

    Batch t depends only on (seed, t), and contains the same images as batch t of
    :func:`hashnet_jax.data.pipeline.training_batches`.

    Args:
      features: the cached features, :class:`CachedFeatures`.
      dataset: the data set, :class:`hashnet_jax.data.Dataset`.
      start: index of the first batch.
      batch_size: B, size of the global batch.
      stop: index one past the last batch.
      seed: seed for the data order, >= 0.

    Returns:
      An iterator over ``{"image": float32 [B, D], "label": [B] or [B, C]}``.

    Raises:
      ValueError: if the batch is larger than the training set, or has fewer than two images.
    """
    indices = dataset.split.train
    check_batch_size(batch_size, n_train=len(indices))
    train_features, labels = features.take(indices), dataset.labels[indices]

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for t in range(start, stop):
            rows = batch_positions(seed, t, n=len(indices), batch_size=batch_size)
            yield {"image": train_features[rows], "label": labels[rows]}

    return batches()


def encode_features(
    layer: HashNetParams, features: CachedFeatures, indices: Int[np.ndarray, " N"]
) -> UInt8[np.ndarray, "N bytes"]:
    """Encodes images from their cached features.

    Args:
      layer: params of a hash layer, see :func:`hashnet_jax.model.hash_layer`.
      features: the cached features, :class:`CachedFeatures`.
      indices: indices of the images, int ``[N]``, N >= 1.

    Returns:
      Packed codes, uint8 ``[N, ceil(K/8)]``; see :func:`hashnet_jax.pack_bits`.

    Examples:
      >>> import hashnet_jax
      >>> from hashnet_jax.model import hash_layer
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> layer = hash_layer(hashnet_jax.init(jax.random.key(0), spec))
      >>> features = CachedFeatures(np.zeros((3, 256), np.float32), np.arange(3))
      >>> encode_features(layer, features, np.array([0, 2])).shape
      (2, 2)
    """
    parts = [
        indices[first : first + HASH_LAYER_BATCH_SIZE]
        for first in range(0, len(indices), HASH_LAYER_BATCH_SIZE)
    ]
    return np.concatenate(
        [np.asarray(pack_bits(encode(layer, features.take(part)))) for part in parts]
    )


@jax.jit
def _features_of_pixels(
    params: HashNetParams, images: UInt8[Array, "B H W 3"]
) -> Float[Array | np.ndarray, "B D"]:
    return extract_features(params, preprocess(images, params.spec))


def _are_features(array: np.ndarray, n: int) -> bool:
    return array.ndim == 2 and len(array) == n and array.dtype == np.float32


def _cache_key(params: HashNetParams, content: str) -> str:
    """Returns a hash of everything that the features depend on, as 16 hexadecimal digits.

    The package's version is included because a different version may compute different features.
    """
    spec = dataclasses.asdict(params.spec)
    del spec["bits"]
    key = hashlib.sha256(json.dumps([hashnet_jax.__version__, spec, content]).encode())
    for kind in ("params", "batch_stats"):
        backbone = params.variables[kind].get("backbone", {})
        for path, leaf in jax.tree.leaves_with_path(backbone):
            key.update(jax.tree_util.keystr(path).encode())
            key.update(np.asarray(leaf).tobytes())
    return key.hexdigest()[:16]
