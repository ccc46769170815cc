"""Reads TensorFlow Datasets by index, without TensorFlow; the only file that imports tfds.

Data sets must be prepared as array_record. Preparing one needs TensorFlow (the `prepare` extra);
reading it does not.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Integer, UInt8
from tqdm import tqdm

from hashnet_jax.data.sources import ArraySource, ImageSource, decode, decode_squashed
from hashnet_jax.distributed.files import write_whole

# Archives that must be downloaded manually before TFDS can prepare the data set.
ARCHIVES = {"imagenet2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")}

# Data sets whose decoded images fit in this many bytes are decoded once and held in memory.
MAX_DECODED_BYTES = 512 * 2**20

Record = dict[str, Any]
# A class id, or a multi-hot row.
LabelReader = Callable[[Record], np.integer | Integer[np.ndarray, " C"]]


class TfdsSource:
    """One split of a prepared data set: encoded images on disk, decoded on access."""

    in_memory: bool = False

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        untyped: Any = builder
        self._records = untyped.as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        return decode(self._encoded(index))

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        return decode_squashed(self._encoded(index), size)

    def records(self, start: int, stop: int) -> list[Record]:
        """Returns the raw records start..stop-1, with images still encoded."""
        return self._records.__getitems__(list(range(start, stop)))

    def _encoded(self, index: SupportsIndex) -> bytes:
        return self._records[int(index)]["image"]


def open_builder(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> tfds.core.DatasetBuilder:
    """Returns the TFDS builder for a data set, preparing the data first if necessary.

    Args:
      name: name in TFDS, including the config if there are several, e.g. ``"imagenet2012"`` or
        ``"coco/2014"``.
      data_dir: TFDS's data folder; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
      manual_dir: folder with manually downloaded archives; by default
        ``<data_dir>/downloads/manual``.

    Raises:
      FileNotFoundError: if the data set is not prepared and its archives are missing.
      ModuleNotFoundError: if the data set is not prepared and TensorFlow is missing.
      ValueError: if the data set is prepared in a format that only TensorFlow can read.
    """
    default = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    folder = Path(data_dir or default).expanduser()
    prepared = sorted(
        (path.parent for path in (folder / name).glob("*/dataset_info.json")), key=_version
    )
    if not prepared:
        prepared = [_prepare(name, folder, manual_dir)]
    builder = tfds.builder_from_directory(prepared[-1])
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        found = None if file_format is None else file_format.value
        raise ValueError(
            f"{prepared[-1]} must be prepared as array_record, got {found}, which only TensorFlow "
            "can read: move that folder away and start again to prepare it as array_record."
        )
    return builder


def class_ids(features: Any) -> LabelReader:
    """Returns ``record -> class id`` (an int64 scalar), for data with one label per image."""
    del features
    return lambda record: np.int64(record["label"])


def object_labels(features: Any) -> LabelReader:
    """Returns ``record -> multi-hot int8 [C]``, marking all object categories, including crowds."""
    n_classes = features["objects"].feature["label"].num_classes

    def read(record: Record) -> Integer[np.ndarray, " C"]:
        row = np.zeros(n_classes, np.int8)
        row[np.asarray(record["objects"]["label"], np.int64)] = 1
        return row

    return read


# Label readers, ``features -> (record -> label)``. Names are part of the label cache's key.
LABEL_READERS: dict[str, Callable[[Any], LabelReader]] = {
    "class_ids": class_ids,
    "object_labels": object_labels,
}


def read_split(
    builder: tfds.core.DatasetBuilder, split: str, labels: str = "class_ids"
) -> tuple[ImageSource, Integer[np.ndarray, "N *C"]]:
    """Reads a split's images and labels.

    Args:
      builder: see :func:`open_builder`.
      split: name of the split, e.g. ``"train"``.
      labels: a name in ``LABEL_READERS``.

    Returns:
      ``(source, labels)``: images by index, in memory if they fit in ``MAX_DECODED_BYTES``; class
      ids int64 ``[N]`` or multi-hot labels int8 ``[N, C]``.
    """
    source = TfdsSource(builder, split)
    features: Any = builder.info.features
    shape = features["image"].shape
    if None in shape or len(source) * int(np.prod(shape)) > MAX_DECODED_BYTES:
        return source, _cached_labels(builder, split, source, labels)
    read_label = LABEL_READERS[labels](features)
    images = np.empty((len(source), *shape), np.uint8)
    rows = []
    for start, records in _chunks(source, f"reading {builder.info.name} {split}"):
        for i, record in enumerate(records, start):
            images[i] = decode(record["image"])[:, :, : shape[2]]
            rows.append(read_label(record))
    return ArraySource(images), np.stack(rows)


def _cached_labels(
    builder: tfds.core.DatasetBuilder, split: str, source: TfdsSource, labels: str
) -> Integer[np.ndarray, "N *C"]:
    """Returns all labels, cached in a file because reading them also reads the images."""
    path = _cache_path(builder, split, labels)
    if path.is_file():
        return np.load(path, allow_pickle=False)
    read_label = LABEL_READERS[labels](builder.info.features)
    chunks = _chunks(source, f"indexing {builder.info.name} {split}")
    rows = np.stack([read_label(record) for _, records in chunks for record in records])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: np.save(file, rows, allow_pickle=False))
    return rows


def _cache_path(builder: tfds.core.DatasetBuilder, split: str, labels: str) -> Path:
    """Returns a split's label cache path, named by a hash of everything the labels depend on."""
    info: Any = builder.info.splits[split]
    fingerprint = [builder.info.full_name, split, labels, info.num_bytes, list(info.shard_lengths)]
    fingerprint.append(str(Path(builder.data_dir).resolve()))
    digest = hashlib.sha256(json.dumps(fingerprint).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashnet_jax"
    return cache / f"{builder.info.name}-{split}-{digest}.npy"


def _chunks(source: TfdsSource, what: str, size: int = 1024) -> Iterator[tuple[int, list[Record]]]:
    """Yields chunks ``(index of the first record, records)``, showing a progress bar."""
    with tqdm(total=len(source), desc=what, unit="image", disable=None, leave=False) as bar:
        for start in range(0, len(source), size):
            records = source.records(start, min(start + size, len(source)))
            yield start, records
            bar.update(len(records))


def _version(folder: Path) -> list[int]:
    return [int(part) for part in folder.name.split(".") if part.isdigit()]


def _prepare(name: str, data_dir: Path, manual_dir: str | os.PathLike[str] | None) -> Path:
    """Downloads a data set, prepares it as array_record, and returns its folder."""
    if name in ARCHIVES:
        manual_dir = Path(manual_dir or data_dir / "downloads" / "manual").expanduser()
        _check_archives(name, data_dir, manual_dir)
    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            f"no prepared {name} in {data_dir}, and preparing it needs TensorFlow once: "
            "pip install -e '.[prepare]' and start again, or pass a folder that contains a "
            "prepared one as `data_dir`."
        )
    # TFDS's default format can only be read by TensorFlow.
    builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return Path(builder.data_dir)


def _check_archives(name: str, data_dir: Path, manual_dir: Path) -> None:
    missing = [file for file in ARCHIVES[name] if not (manual_dir / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"no prepared {name} in {data_dir} and no ILSVRC2012 archives in {manual_dir} "
            f"(missing {', '.join(missing)}): put {' and '.join(ARCHIVES[name])} there "
            "(image-net.org, account needed), pass the folder that contains them as `manual_dir` "
            f"or one that contains a prepared {name} as `data_dir`, or try `dataset='digits'`, "
            "which needs no download."
        )
