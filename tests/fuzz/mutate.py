"""Damages a file the way disks, editors, strangers and attackers do."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.mutate_arrays import OF_NPY, OF_NPZ
from tests.fuzz.mutate_text import OF_JSON, OF_TEXT, changed

TEXT_SUFFIXES = {".json", ".jsonl", ".txt", ".csv", ""}

# Takes a path and a source of randomness, damages the file, and returns a description.
Mutation = Callable[[Path, random.Random], str]


def kinds_for(path: Path, stranger: Path | None) -> list[str]:
    """The mutations that apply to a file.

    Args:
      path: path of the file.
      stranger: a file or folder of the same kind and with other content, or None.
    """
    kinds = [*(_OF_FOLDERS if path.is_dir() else _ANY)]
    if stranger is not None and stranger.exists():
        kinds.append("stranger")
    if path.is_dir():
        return kinds
    if path.suffix in TEXT_SUFFIXES or path.name in {"listing", "skipped"}:
        kinds += OF_TEXT
    if path.suffix in {".json", ".jsonl"} or path.name in {"skipped", "metadata", "_METADATA"}:
        kinds += OF_JSON
    if path.suffix == ".npy":
        kinds += OF_NPY
    if path.suffix == ".npz":
        kinds += OF_NPZ
    return kinds


def apply(kind: str, path: Path, rng: random.Random, stranger: Path | None = None) -> str:
    """Applies a mutation to a file, and returns a description."""
    if kind == "stranger":
        assert stranger is not None
        if path.is_dir():
            shutil.rmtree(path)
            shutil.copytree(stranger, path)
        else:
            shutil.copyfile(stranger, path)
        return f"replaced by {stranger.name} of another folder"
    every = {**_OF_FOLDERS, **_ANY, **OF_TEXT, **OF_JSON, **OF_NPY, **OF_NPZ}
    return every[kind](path, rng)


def _truncate(path: Path, rng: random.Random) -> str:
    size = path.stat().st_size
    kept = rng.choice([size - 1, size // 2, rng.randrange(size or 1), min(size, 10)])
    os.truncate(path, max(kept, 0))
    return f"cut to {kept} of {size} bytes"


def _empty(path: Path, rng: random.Random) -> str:
    path.write_bytes(b"")
    return "emptied"


def _delete(path: Path, rng: random.Random) -> str:
    path.unlink()
    return "deleted"


def _flip(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        places = [rng.randrange(8 * len(data)) for _ in range(rng.randint(1, 3))] if data else []
        for place in places:
            data[place // 8] ^= 1 << place % 8
        return f"flipped bits {places}"

    return changed(path, change)


def _overwrite(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        start, length = rng.randrange(len(data) or 1), rng.randint(1, 16)
        data[start : start + length] = rng.randbytes(min(length, len(data) - start))
        return f"{length} random bytes at {start}"

    return changed(path, change)


def _zero(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        start, length = rng.randrange(len(data) or 1), rng.choice([8, 512, 4096])
        data[start : start + length] = bytes(min(length, len(data) - start))
        return f"{length} zero bytes at {start}"

    return changed(path, change)


def _insert(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        start, added = rng.randint(0, len(data)), rng.randbytes(rng.randint(1, 40))
        data[start:start] = added
        return f"{len(added)} bytes inserted at {start}"

    return changed(path, change)


def _append(path: Path, rng: random.Random) -> str:
    with open(path, "ab") as file:
        file.write(rng.choice([b"\0" * 64, b"\n", rng.randbytes(9), path.read_bytes()]))
    return "bytes appended"


def _folder(path: Path, rng: random.Random) -> str:
    path.unlink()
    path.mkdir()
    return "replaced by a folder"


def _fifo(path: Path, rng: random.Random) -> str:
    path.unlink()
    os.mkfifo(path)
    return "replaced by a FIFO"


def _loop(path: Path, rng: random.Random) -> str:
    path.unlink()
    path.symlink_to(path)
    return "replaced by a link to itself"


def _dangling(path: Path, rng: random.Random) -> str:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")
    return "replaced by a link to nowhere"


def _removed(folder: Path, rng: random.Random) -> str:
    shutil.rmtree(folder)
    return "removed"


def _cleared(folder: Path, rng: random.Random) -> str:
    shutil.rmtree(folder)
    folder.mkdir()
    return "cleared"


def _part_removed(folder: Path, rng: random.Random) -> str:
    part = rng.choice(sorted(folder.rglob("*")))
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    return f"without {part.name}"


def _a_file(folder: Path, rng: random.Random) -> str:
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    return "replaced by a file"


_ANY: dict[str, Mutation] = {
    "truncate": _truncate,
    "empty": _empty,
    "delete": _delete,
    "flip": _flip,
    "overwrite": _overwrite,
    "zero": _zero,
    "insert": _insert,
    "append": _append,
    "folder": _folder,
    "fifo": _fifo,
    "loop": _loop,
    "dangling": _dangling,
}
_OF_FOLDERS: dict[str, Mutation] = {
    "removed": _removed,
    "cleared": _cleared,
    "part removed": _part_removed,
    "a file": _a_file,
}
