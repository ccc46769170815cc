"""Reads TensorFlow Datasets by index, without TensorFlow. No other file imports tfds.

Data sets must be prepared as array_record. Preparing a data set requires TensorFlow (the `prepare`
extra), but reading it does not.
"""

import contextlib
import importlib.util
import os
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Integer, UInt8

from hashnet_jax.data._tfds_labels import (
    COLUMN_READERS,
    PREPARE_AGAIN,
    Record,
    cached_columns,
    chunks,
    record_named,
)
from hashnet_jax.data.sources import (
    ArraySource,
    ImageSource,
    decode,
    decode_squashed,
    digest_record,
)
from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.reading import damage_named, read_json

# Archives that must be downloaded manually before TFDS can prepare the data set.
ARCHIVES = {"imagenet2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")}

# Data sets that can also be read from the folder where their archives were unpacked.
UNPACKED = ("imagenet2012", "coco/2014", "cifar10")

# Data sets whose decoded images fit in this many bytes are decoded once and held in memory.
MAX_DECODED_BYTES = 512 * 2**20


_WHAT = "a prepared data set"


class TfdsSource:
    """One split of a prepared data set: encoded images on disk, decoded on access.

    The formats and limits are those of :func:`hashnet_jax.data.decoder.decode_picture`. The EXIF
    orientation is ignored, as in TFDS and in the HashNet authors' code.

    Raises:
      DamagedFile: on access, if a record is damaged; the message names the folder and the record.
    """

    in_memory: bool = False

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        untyped: Any = builder
        self._builder, self._split = builder, split
        with damage_named(builder.data_path, _WHAT, PREPARE_AGAIN):
            self._records = untyped.as_data_source(
                split=split, decoders={"image": tfds.decode.SkipDecoding()}
            )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        with self._named(int(index)):
            return decode(self._encoded(index))

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        with self._named(int(index)):
            return decode_squashed(self._encoded(index), size)

    def digest(self, index: SupportsIndex) -> bytes:
        """Returns the 32-byte hash of an encoded image."""
        with self._named(int(index)):
            return digest_record(self._encoded(index))

    def records(self, start: int, stop: int) -> list[Record]:
        """Returns the raw records start..stop-1, with images still encoded."""
        with self._named(start):
            return self._records.__getitems__(list(range(start, stop)))

    def _encoded(self, index: SupportsIndex) -> bytes:
        return self._records[int(index)]["image"]

    def _named(self, index: int) -> contextlib.AbstractContextManager[None]:
        return record_named(self._builder, self._split, index)


def open_builder(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> tfds.core.DatasetBuilder:
    """Returns the TFDS builder for a data set, preparing the data first if necessary.

    Args:
      name: name of the data set in TFDS, followed by the name of a config if the data set has
        several configs, e.g. ``"imagenet2012"`` or ``"coco/2014"``.
      data_dir: TFDS's data folder; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
      manual_dir: folder with manually downloaded archives; by default
        ``<data_dir>/downloads/manual``.

    Raises:
      FileNotFoundError: if the data set is not prepared and its archives are missing.
      ModuleNotFoundError: if the data set is not prepared and TensorFlow is missing.
      ValueError: if the data set is prepared in a format that only TensorFlow can read.
      DamagedFile: if the data set's description is damaged.
    """
    default = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    folder = Path(data_dir or default).expanduser()
    prepared = sorted(
        (path.parent for path in (folder / name).glob("*/dataset_info.json")), key=_version
    )
    if not prepared:
        prepared = [_prepare(name, folder, manual_dir)]
    for path in prepared[-1].iterdir():
        refuse_pipe(path)
    for name in ("dataset_info.json", "features.json"):
        read_json(prepared[-1] / name, "the description of a prepared data set", PREPARE_AGAIN)
    with damage_named(prepared[-1], _WHAT, PREPARE_AGAIN):
        builder = tfds.builder_from_directory(prepared[-1])
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        found = None if file_format is None else file_format.value
        raise ValueError(
            f"{prepared[-1]} must be prepared as array_record, but is in the format {found}, which "
            "only TensorFlow can read. Move that folder away and start again to prepare the data "
            "set as array_record."
        )
    return builder


def read_split(
    builder: tfds.core.DatasetBuilder, split: str, *columns: str
) -> tuple[ImageSource, *tuple[Integer[np.ndarray, "N *C"], ...]]:
    """Reads a split's images, and their labels or numbers.

    Args:
      builder: see :func:`open_builder`.
      split: name of the split, e.g. ``"train"``.
      columns: what to read: names in :data:`hashnet_jax.data._tfds_labels.COLUMN_READERS`, e.g.
        ``"class_ids"``.

    Returns:
      ``(source, *arrays)``: ``source`` gives access to the images by index, and holds them in
      memory if they fit in ``MAX_DECODED_BYTES``; there is one array for each of ``columns``, such
      as class ids int64 ``[N]`` or multi-hot labels int8 ``[N, C]``.
    """
    source = TfdsSource(builder, split)
    features: Any = builder.info.features
    with damage_named(builder.data_path, _WHAT, PREPARE_AGAIN):
        shape, readers = features["image"].shape, [COLUMN_READERS[n](features) for n in columns]
    if None in shape or len(source) * int(np.prod(shape)) > MAX_DECODED_BYTES:
        return source, *cached_columns(builder, split, source, columns)
    images = np.empty((len(source), *shape), np.uint8)
    rows = []
    for start, records in chunks(source, f"reading {builder.info.name} {split}"):
        for i, record in enumerate(records, start):
            with record_named(builder, split, i):
                images[i] = decode(record["image"])[:, :, : shape[2]]
                rows.append([read(record) for read in readers])
    return ArraySource(images), *(np.stack(column) for column in zip(*rows, strict=True))


def _version(folder: Path) -> list[int]:
    return [int(part) for part in folder.name.split(".") if part.isdigit()]


def _prepare(name: str, data_dir: Path, manual_dir: str | os.PathLike[str] | None) -> Path:
    """Downloads a data set, prepares it as array_record, and returns its folder."""
    if name in ARCHIVES:
        manual_dir = Path(manual_dir or data_dir / "downloads" / "manual").expanduser()
        _check_archives(name, data_dir, manual_dir)
    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            f"{name} is not prepared in {data_dir}, and preparing it requires TensorFlow. Run "
            "pip install -e '.[prepare]' and start again, or pass the folder that contains the "
            f"prepared data set as `data_dir`{_or_unpacked(name)}."
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
            f"{name} is not prepared in {data_dir}, and {manual_dir} lacks {', '.join(missing)}. "
            f"Download {' and '.join(ARCHIVES[name])} from image-net.org (account required) to "
            "that folder, pass the folder that contains them as `manual_dir`, or pass the folder "
            f"that contains the prepared data set as `data_dir`{_or_unpacked(name)}. "
            "Alternatively, try `dataset='digits'`, which needs no download."
        )


def _or_unpacked(name: str) -> str:
    return ", or the folder with its unpacked archives as `image_root`" if name in UNPACKED else ""
