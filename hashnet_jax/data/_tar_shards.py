"""Pictures in tar files, in the form of WebDataset.

Files of the same name but for the suffix are a sample: `0001.jpg` with its class id in `0001.cls`,
or `0001.json` with a class id or a list of them under `label`.

Python's tarfile lists where each file begins, so that any picture can be read by index. The library
webdataset only reads shards from the beginning to the end, in an order that it shuffles in a
buffer, whereas batches here are a function of the seed and the number of the batch.

Listing a shard and reading its labels requires a visit to each sample, so the result is cached. It
is keyed by the names, sizes and modification times of the shards, as hashing them would mean to
read all pictures, and some samples are compared with it.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int64

from hashnet_jax.data._shard_source import Labelled
from hashnet_jax.data.pictures import SUFFIXES
from hashnet_jax.distributed.array_cache import cache_folder, load_array, save_array
from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.distributed.reading import damage_named, parse_json

_WHAT, _REMEDY = "a tar file in the form of WebDataset", "download it again"
_LABEL_SUFFIXES = (".cls", ".json")
_HASH_DIGITS = 16
_SAMPLES_COMPARED = 32
_BYTES_SHOWN = 40


class _Sample(NamedTuple):
    """A picture and its label, where ``offset`` is the place of its first byte in the tar file."""

    name: str
    labels: list[int]
    has_list: bool
    offset: int
    size: int
    label_name: str
    label_offset: int
    label_size: int


class TarPictures:
    """The pictures in tar files.

    Args:
      root: folder that contains the files.
      files: the files.
      names: names of the N pictures in their files.
      places: index of the file, offset and size of each picture, int64 ``[N, 3]``.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[Path],
        names: Sequence[str],
        places: Int64[np.ndarray, "N 3"],
    ) -> None:
        self._root, self._files = root, tuple(files)
        self._names, self._places = tuple(names), places

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        file = self._files[self._places[index, 0]]
        return f"{file.relative_to(self._root)}/{self._names[index]}"

    def read(self, index: int) -> bytes:
        which, offset, size = self._places[index].tolist()
        with (
            damage_named(self._files[which], _WHAT, _REMEDY),
            open(self._files[which], "rb") as tar,
        ):
            return _read(tar, offset, size)


def read_tars(root: Path, files: Sequence[Path]) -> Labelled:
    """Lists the pictures in tar files, and reads their labels.

    Args:
      root: folder that contains the files.
      files: the files, in the order of their pictures.

    Raises:
      DamagedFile: if a file is damaged, or a picture has no label.
    """
    shards = _cached_samples(files)
    samples = [sample for shard in shards for sample in shard]
    places = [
        (which, sample.offset, sample.size)
        for which, shard in enumerate(shards)
        for sample in shard
    ]
    pictures = TarPictures(
        root,
        files,
        [sample.name for sample in samples],
        np.array(places, np.int64).reshape(-1, 3),
    )
    labels = [sample.labels for sample in samples]
    return Labelled(pictures, labels, any(sample.has_list for sample in samples), None)


def _cached_samples(files: Sequence[Path]) -> list[list[_Sample]]:
    """Returns the samples in each file."""
    folder, stem = cache_folder(), f"tar-{_hash_of(files)}"
    cached = None
    if folder is not None:
        cached = load_array(folder, stem, is_valid=lambda array: array.dtype == np.uint8)
    if cached is not None:
        shards = [[_Sample(*row) for row in rows] for rows in json.loads(cached.tobytes())]
        if _agree(shards, files):
            return shards
    shards = []
    with Progress(len(files), "indexing", "tar file") as progress:
        for file in files:
            shards.append(_samples(file))
            progress.update()
    if folder is not None:
        save_array(folder, stem, np.frombuffer(json.dumps(shards).encode(), np.uint8))
    return shards


def _hash_of(files: Sequence[Path]) -> str:
    states = [(file.name, file.stat()) for file in files]
    content = [[name, state.st_size, state.st_mtime_ns] for name, state in states]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_HASH_DIGITS]


def _agree(shards: list[list[_Sample]], files: Sequence[Path]) -> bool:
    """Returns whether labels in an evenly spaced selection of samples are as cached."""
    samples = [(file, each) for file, shard in zip(files, shards, strict=True) for each in shard]
    places = np.unique(np.linspace(0, len(samples) - 1, _SAMPLES_COMPARED).astype(int))
    for file, sample in (samples[place] for place in places.tolist()):
        with damage_named(file, _WHAT, _REMEDY), open(file, "rb") as tar:
            content = _read(tar, sample.label_offset, sample.label_size)
            if _parse_label(sample.label_name, content) != (sample.labels, sample.has_list):
                return False
    return True


def _samples(path: Path) -> list[_Sample]:
    """Returns the samples in a file that have a picture, and reads their labels."""
    refuse_pipe(path)
    with damage_named(path, _WHAT, _REMEDY), open(path, "rb") as file:
        members_of: dict[str, dict[str, tarfile.TarInfo]] = {}
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                _add(members_of, member)
        found = [
            _sample(file, name, members)
            for name, members in members_of.items()
            if members.keys() & SUFFIXES
        ]
        if not found:
            raise ValueError("it contains no pictures")
        return found


def _add(members_of: dict[str, dict[str, tarfile.TarInfo]], member: tarfile.TarInfo) -> None:
    folder, base = os.path.split(member.name)
    stem, dot, suffix = base.partition(".")
    if not stem or not member.isreg() or member.issparse():
        return
    members = members_of.setdefault(os.path.join(folder, stem), {})
    if members.setdefault((dot + suffix).lower(), member) is not member:
        raise ValueError(f"it contains {member.name} twice")


def _sample(file: BinaryIO, name: str, members: dict[str, tarfile.TarInfo]) -> _Sample:
    pictures = [members[suffix] for suffix in members if suffix in SUFFIXES]
    labels = [members[suffix] for suffix in _LABEL_SUFFIXES if suffix in members]
    if len(pictures) > 1 or not labels:
        raise ValueError(
            f"{name} must have one picture and its label in {' or '.join(_LABEL_SUFFIXES)}, but "
            f"has {', '.join(sorted(members))}"
        )
    picture, label = pictures[0], labels[0]
    content = _read(file, label.offset_data, label.size)
    if picture.offset_data + picture.size > os.fstat(file.fileno()).st_size:
        raise ValueError(f"it ends within {picture.name}")
    return _Sample(
        picture.name,
        *_parse_label(label.name, content),
        *(picture.offset_data, picture.size),
        *(label.name, label.offset_data, label.size),
    )


def _parse_label(name: str, content: bytes) -> tuple[list[int], bool]:
    """Returns the class ids in a file, and whether they are a list."""
    try:
        is_json = name.lower().endswith(".json")
        value = parse_json(content)["label"] if is_json else int(content)
        ids = value if isinstance(value, list) else [value]
        if not all(type(each) is int for each in ids):
            raise TypeError(value)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{name} must contain a class id, in JSON as `label` (or a list of them), but contains "
            f"{printable(content[:_BYTES_SHOWN].decode(errors='replace'))}"
        ) from error
    return ids, isinstance(value, list)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    content = file.read(size)
    if len(content) < size:
        raise ValueError(f"it ends within {size:,} bytes from {offset:,} on")
    return content
