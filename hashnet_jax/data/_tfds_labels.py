"""Reads the labels and numbers of TFDS records, and caches those of large data sets."""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer
from tqdm import tqdm

from hashnet_jax.distributed.array_cache import cache_folder, load_array, save_array
from hashnet_jax.distributed.reading import damage_named

PREPARE_AGAIN = "move the folder away and start again to prepare the data set"

# Number of labels to read from the records and compare with the cached ones.
_LABELS_COMPARED = 32

_LAST_NUMBER = re.compile(r"[0-9]+")

Record = dict[str, Any]
# Entries are class ids, multi-hot rows or numbers.
LabelReader = Callable[[Record], np.integer | Integer[np.ndarray, " C"]]


@runtime_checkable
class RecordSource(Protocol):
    """Gives access to records by index; see :class:`hashnet_jax.data.tfds_source.TfdsSource`."""

    def __len__(self) -> int: ...

    def records(self, start: int, stop: int, /) -> list[Record]: ...


def class_ids(features: Any) -> LabelReader:
    """Returns a function ``record -> class id (int64 scalar)``, for single-label data."""
    del features
    return lambda record: np.int64(record["label"])


def object_labels(features: Any) -> LabelReader:
    """Returns a function that reads a record's multi-hot labels, int8 ``[C]``.

    Objects that are annotated as crowds are included.
    """
    n_classes = features["objects"].feature["label"].num_classes

    def read(record: Record) -> Integer[np.ndarray, " C"]:
        row = np.zeros(n_classes, np.int8)
        row[np.asarray(record["objects"]["label"], np.int64)] = 1
        return row

    return read


def file_numbers(features: Any) -> LabelReader:
    """Returns a function that reads the number in a file name, 10026 in n01440764_10026.JPEG."""
    del features
    return lambda record: np.int64(_LAST_NUMBER.findall(record["file_name"].decode())[-1])


def image_ids(features: Any) -> LabelReader:
    """Returns a function that reads the number that COCO gives each image."""
    del features
    return lambda record: np.int64(record["image/id"])


def example_numbers(features: Any) -> LabelReader:
    """Returns a function that reads an example's place in CIFAR's files, 7 in train_00007."""
    del features
    return lambda record: np.int64(_LAST_NUMBER.findall(record["id"].decode())[-1])


# Column readers, ``features -> (record -> entry)``. The names are part of the cache's key.
COLUMN_READERS: dict[str, Callable[[Any], LabelReader]] = {
    "class_ids": class_ids,
    "object_labels": object_labels,
    "file_numbers": file_numbers,
    "image_ids": image_ids,
    "example_numbers": example_numbers,
}


def cached_columns(
    builder: Any, split: str, source: RecordSource, columns: Sequence[str]
) -> list[Integer[np.ndarray, "N *C"]]:
    """Returns columns, cached in files because reading them requires reading the images."""
    folder = cache_folder()
    readers = {name: COLUMN_READERS[name](builder.info.features) for name in columns}
    stems = {name: _cache_stem(builder, split, name) for name in columns}
    found = {}
    for name, read in readers.items():

        def is_valid(array: np.ndarray, read: LabelReader = read) -> bool:
            with record_named(builder, split, 0):
                return len(array) == len(source) and _agree(array, source, read)

        cached = None if folder is None else load_array(folder, stems[name], is_valid=is_valid)
        if cached is not None:
            found[name] = np.array(cached)
    missing = {name: read for name, read in readers.items() if name not in found}
    for name, column in _read_columns(builder, split, source, missing).items():
        found[name] = column
        if folder is not None:
            save_array(folder, stems[name], column)
    return [found[name] for name in columns]


def _read_columns(
    builder: Any, split: str, source: RecordSource, readers: Mapping[str, LabelReader]
) -> dict[str, Integer[np.ndarray, "N *C"]]:
    """Reads columns from all records, in one pass."""
    if not readers:
        return {}
    rows = {name: [] for name in readers}
    for start, records in chunks(source, f"indexing {builder.info.name} {split}"):
        with record_named(builder, split, start):
            for name, read in readers.items():
                rows[name] += [read(record) for record in records]
    return {name: np.stack(column) for name, column in rows.items()}


def record_named(builder: Any, split: str, index: int) -> contextlib.AbstractContextManager[None]:
    """Converts errors raised in the ``with`` block to a DamagedFile that names the record."""
    return damage_named(
        f"{builder.data_path}, {split} record {index}",
        "an image with labels",
        PREPARE_AGAIN,
    )


def _agree(labels: np.ndarray, source: RecordSource, read_label: LabelReader) -> bool:
    """Returns whether the cached labels match the records in an evenly spaced sample."""
    places = np.unique(np.linspace(0, len(source) - 1, _LABELS_COMPARED).astype(int))
    return all(
        np.array_equal(labels[i], read_label(source.records(i, i + 1)[0])) for i in places.tolist()
    )


def _cache_stem(builder: Any, split: str, labels: str) -> str:
    """Returns the stem of a split's cache file, with a hash of everything the labels depend on.

    Hashing the records would take as long as reading the labels from them. The hash therefore
    covers the files' sizes and modification times, which change if the files are replaced.
    """
    info = builder.info.splits[split]
    folder = Path(builder.data_path).resolve()
    files = [folder / "dataset_info.json", folder / "features.json", *map(Path, info.filepaths)]
    states = [(file.name, file.stat()) for file in files]
    content = [builder.info.full_name, split, labels, str(folder)]
    content += [[name, status.st_size, status.st_mtime_ns] for name, status in states]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return f"{builder.info.name}-{split}-{digest}"


def chunks(source: RecordSource, what: str, size: int = 1024) -> Iterator[tuple[int, list[Record]]]:
    """Yields chunks ``(index of the first record, records)``, showing a progress bar."""
    with tqdm(total=len(source), desc=what, unit="image", disable=None, leave=False) as bar:
        for start in range(0, len(source), size):
            records = source.records(start, min(start + size, len(source)))
            yield start, records
            bar.update(len(records))
