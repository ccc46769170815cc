"""Pictures in Parquet files, in the form in which the Hugging Face Hub stores them.

The column of pictures is a struct with a field `bytes`. The column `label` or `labels` has class
ids, or lists of them; the schema may name the classes. Parquet stores columns separately, so labels
are read without the pictures in little time, and are not cached.

pyarrow reads whole groups of rows, which are kept in memory up to a limit, so that small data sets
are read only once. In a larger one, a picture at random takes 21 ms of a core to read, decode and
resize if groups have 100 pictures of 0.1 MB, as older files of the Hub, and 8 ms from a file of its
own. Newer files have groups of 100 MB, for which a note names the remedy.
"""

import bisect
import collections
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hashnet_jax.data._shard_source import Labelled
from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.distributed.reading import damage_named

_WHAT, _REMEDY = "a Parquet file of pictures", "download it again"
_LABEL_COLUMNS = ("label", "labels")

# Groups of rows that are kept in memory, per process.
MAX_KEPT_BYTES = 512 * 2**20
# If groups are larger on average, reading one takes far longer than decoding a picture.
LARGE_GROUP_BYTES = 20 * 2**20


class _Group(NamedTuple):
    """A group of rows in a file; ``first`` is the number of its first row."""

    file: Path
    number: int
    first: int


class _Columns(NamedTuple):
    image: str
    label: str
    has_lists: bool
    classes: tuple[str, ...] | None


class ParquetPictures:
    """The pictures in Parquet files, in the order of their rows.

    Args:
      root: folder that contains the files.
      column: name of the column with the pictures.
      groups: all groups of rows.
      counts: numbers of rows in the groups.
    """

    def __init__(
        self, root: Path, column: str, groups: Sequence[_Group], counts: Sequence[int]
    ) -> None:
        self._root, self._column, self._groups = root, column, list(groups)
        self._starts = [0]
        for count in counts:
            self._starts.append(self._starts[-1] + count)

    def __len__(self) -> int:
        return self._starts[-1]

    def name(self, index: int) -> str:
        group, row = self._place(index)
        return f"{group.file.relative_to(self._root)}, row {group.first + row}"

    def read(self, index: int) -> bytes:
        group, row = self._place(index)
        with damage_named(group.file, _WHAT, _REMEDY):
            content = _kept_groups.read(group, self._column)[row].as_py()
            if content is None:
                raise ValueError(f"row {group.first + row} has no bytes, only a path")
            return content

    def _place(self, index: int) -> tuple[_Group, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which = bisect.bisect_right(self._starts, index) - 1
        return self._groups[which], index - self._starts[which]


def read_parquet(root: Path, files: Sequence[Path]) -> Labelled:
    """Reads the labels in Parquet files.

    Args:
      root: folder that contains the files.
      files: the files, in the order of their pictures.

    Raises:
      DamagedFile: if a file is damaged, or has no pictures with labels.
      ValueError: if files have different columns or classes.
    """
    groups, counts, sizes, labels = [], [], [], []
    first: _Columns | None = None
    with Progress(len(files), "reading labels", "file") as progress:
        for path in files:
            refuse_pipe(path)
            with damage_named(path, _WHAT, _REMEDY), pq.ParquetFile(path) as file:
                columns = _columns(file.schema_arrow)
                own = file.read([columns.label]).column(0).to_pylist()
                rows = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            first = first or columns
            _check_same(files[0], first, path, columns)
            groups += _groups(path, [row.num_rows for row in rows])
            counts += [row.num_rows for row in rows]
            sizes += [row.total_byte_size for row in rows]
            labels += own if columns.has_lists else [[label] for label in own]
            progress.update()
    assert first is not None  # there is at least one file
    ids = [[-1 if label is None else label for label in row or ()] for row in labels]
    pictures = ParquetPictures(root, first.image, groups, counts)
    notes = tuple(_describe_groups(sizes))
    return Labelled(pictures, ids, first.has_lists, first.classes, notes)


def _groups(path: Path, counts: Sequence[int]) -> Iterator[_Group]:
    first = 0
    for number, count in enumerate(counts):
        yield _Group(path, number, first)
        first += count


class _KeptGroups:
    """The encoded pictures of the groups that were read last, shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[Any, pa.Array] = collections.OrderedDict()

    def read(self, group: _Group, column: str) -> pa.Array:
        key = (group, column, group.file.stat().st_mtime_ns)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with pq.ParquetFile(group.file, memory_map=True) as file:
            table = file.read_row_group(group.number, [f"{column}.bytes"], use_threads=False)
        pictures = table.column(0).combine_chunks().field("bytes")
        with self._lock:
            self._kept[key] = pictures
            while len(self._kept) > 1 and self._size() > MAX_KEPT_BYTES:
                self._kept.popitem(last=False)
        return pictures

    def _size(self) -> int:
        return sum(pictures.nbytes for pictures in self._kept.values())


_kept_groups = _KeptGroups()


def _describe_groups(sizes: Sequence[int]) -> Iterator[str]:
    """Yields a note if groups are too large to read pictures from them at random."""
    total = sum(sizes)
    if total > MAX_KEPT_BYTES and total > LARGE_GROUP_BYTES * len(sizes):
        yield (
            "a picture is read together with its group of rows, "
            f"{total / len(sizes) / 1e6:,.0f} MB on average, so training is slow. Write the "
            "Parquet files again with row_group_size=100, or unpack the pictures."
        )


def _columns(schema: pa.Schema) -> _Columns:
    images = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    names = [name for name in _LABEL_COLUMNS if name in schema.names]
    if len(images) != 1 or len(names) != 1:
        raise ValueError(
            "it must have one column of pictures, a struct with `bytes`, and one column `label` "
            f"or `labels`, but has the columns {', '.join(schema.names)}"
        )
    kind = schema.field(names[0]).type
    has_lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not pa.types.is_integer(kind.value_type if has_lists else kind):
        raise ValueError(f"its {names[0]} must be class ids or lists of them, but are {kind}")
    return _Columns(images[0], names[0], has_lists, _class_names(schema, names[0]))


def _class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Returns the names of the classes that the Hub stores in the metadata of a schema."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature: Any = metadata.get("info", {}).get("features", {}).get(column)
    while isinstance(feature, dict) and "names" not in feature:
        feature = feature.get("feature")
    if isinstance(feature, list) and feature:  # the form of lists before datasets 4
        feature = feature[0]
    return tuple(map(str, feature["names"])) if isinstance(feature, dict) else None


def _check_same(first: Path, columns: _Columns, path: Path, other: _Columns) -> None:
    if columns != other:
        raise ValueError(
            f"all Parquet files must have the same columns and classes, but {path.name} differs "
            f"from {first.name}. Put only the files of one data set in the folder."
        )
