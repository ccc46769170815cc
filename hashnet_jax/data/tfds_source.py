"""Data sets of TensorFlow Datasets, read at random without TensorFlow. The only file with tfds.

Reading needs a data set prepared as array_record. Preparing one needs TensorFlow, once (the extra
`prepare`); what is prepared is then read by anyone.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from hashnet_jax.data.sources import ArraySource, decode, decode_squashed
from hashnet_jax.files import write_whole

# What a user must fetch by hand before TFDS can prepare the data set.
ARCHIVES = {"imagenet2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")}

MEMORY = 512 * 2**20  # bytes; a smaller data set is decoded once and held in memory


class TfdsSource:
    """One split of a prepared data set: encoded images on disk, decoded when asked for."""

    in_memory = False

    def __init__(self, builder, split):
        self._records = builder.as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return decode(self._records[int(index)]["image"])

    def squashed(self, index, size):
        return decode_squashed(self._records[int(index)]["image"], size)

    def records(self, start, stop):
        """The raw records start..stop-1, images still encoded."""
        return self._records.__getitems__(list(range(start, stop)))


def open_builder(name, *, data_dir=None, manual_dir=None):
    """The TFDS builder of a data set, prepared first if it is not there yet.

    Args:
      name: TFDS's name, with the config where there are several: ``"imagenet2012"``,
        ``"coco/2014"``.
      data_dir: TFDS's folder; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
      manual_dir: folder with the archives fetched by hand; by default
        ``<data_dir>/downloads/manual``.

    Raises:
      FileNotFoundError: if it is not prepared and its archives are missing.
      ModuleNotFoundError: if it is not prepared and TensorFlow is missing.
      ValueError: if it is prepared in a format that only TensorFlow reads.
    """
    default = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    data_dir = Path(data_dir or default).expanduser()
    prepared = sorted(
        (path.parent for path in (data_dir / name).glob("*/dataset_info.json")),
        key=lambda folder: [int(part) for part in folder.name.split(".") if part.isdigit()],
    )
    if not prepared:
        prepared = [_prepare(name, data_dir, manual_dir)]
    builder = tfds.builder_from_directory(prepared[-1])
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise ValueError(
            f"{prepared[-1]} must be prepared as array_record, got {file_format.value}, which only "
            "TensorFlow reads: move that folder away and run again to prepare it anew."
        )
    return builder


def class_ids(features):
    """``record -> class id``, an int64 scalar, of data with one label an image."""
    return lambda record: np.int64(record["label"])


def object_labels(features):
    """``record -> multi-hot int8 [C]`` of the categories of an image's objects, crowds included."""
    n_classes = features["objects"].feature["label"].num_classes

    def read(record):
        row = np.zeros(n_classes, np.int8)
        row[np.asarray(record["objects"]["label"], np.int64)] = 1
        return row

    return read


# What a record's label is: ``features -> (record -> label)``. The name is part of a cache's key.
LABELS = {"class_ids": class_ids, "object_labels": object_labels}


def read_split(builder, split, labels="class_ids"):
    """A split's images and labels.

    Args:
      builder: see :func:`open_builder`.
      split: e.g. ``"train"``.
      labels: a name in ``LABELS``.

    Returns:
      ``(source, labels)``: images by index, in memory if they are small; class ids int64 ``[N]``
      or multi-hot labels int8 ``[N, C]``.
    """
    read_label = LABELS[labels](builder.info.features)
    source = TfdsSource(builder, split)
    shape = builder.info.features["image"].shape
    if None in shape or len(source) * int(np.prod(shape)) > MEMORY:
        return source, _cached_labels(builder, split, source, labels, read_label)
    images = np.empty((len(source), *shape), np.uint8)
    rows = []
    for start, records in _chunks(source, f"reading {builder.info.name} {split}"):
        for i, record in enumerate(records, start):
            images[i] = decode(record["image"])[:, :, : shape[2]]
            rows.append(read_label(record))
    return ArraySource(images), np.stack(rows)


def _cached_labels(builder, split, source, form, read_label):
    """Labels of all records; read once, since records must be read whole, then kept in a cache."""
    info = builder.info.splits[split]
    fingerprint = [builder.info.full_name, split, form, info.num_bytes, list(info.shard_lengths)]
    fingerprint.append(str(Path(builder.data_dir).resolve()))
    digest = hashlib.sha256(json.dumps(fingerprint).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashnet_jax"
    path = cache / f"{builder.info.name}-{split}-{digest}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    chunks = _chunks(source, f"indexing {builder.info.name} {split}")
    labels = np.stack([read_label(record) for _, records in chunks for record in records])
    cache.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: np.save(file, labels, allow_pickle=False))
    return labels


def _chunks(source, what, size=1024):
    with tqdm(total=len(source), desc=what, unit="image", disable=None, leave=False) as bar:
        for start in range(0, len(source), size):
            records = source.records(start, min(start + size, len(source)))
            yield start, records
            bar.update(len(records))


def _prepare(name, data_dir, manual_dir):
    if name in ARCHIVES:
        manual_dir = Path(manual_dir or data_dir / "downloads" / "manual").expanduser()
        missing = [file for file in ARCHIVES[name] if not (manual_dir / file).is_file()]
        if missing:
            raise FileNotFoundError(
                f"no prepared {name} in {data_dir} and no ILSVRC2012 archives in {manual_dir} "
                f"(missing {', '.join(missing)}): put {' and '.join(ARCHIVES[name])} there "
                "(image-net.org, account needed), or name their folder with --manual-dir or a "
                "prepared one with --data-dir, or try --dataset digits."
            )
    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            f"no prepared {name} in {data_dir}; preparing it needs TensorFlow, once: "
            "pip install -e '.[prepare]' and run again, or name a prepared folder with --data-dir."
        )
    # array_record: TFDS's default format is read by TensorFlow only.
    builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return Path(builder.data_dir)
