"""Reads the annotations of MS COCO, and lists its pictures, from the folders that people have::

    annotations/instances_train2014.json    annotations/instances_val2014.json
    train2014/COCO_train2014_000000000009.jpg
    val2014/COCO_val2014_000000000042.jpg

The pictures of 2017 are those of 2014, divided differently into training and validation images, so
that both contain the same images in total.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int8, Int64

from hashnet_jax.data._image_root import Layout
from hashnet_jax.distributed.array_cache import cache_folder, load_array, save_array
from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.distributed.reading import damage_named, read_json

PARTS, YEARS = ("train", "val"), ("2014", "2017")

LAYOUT = Layout(
    "coco",
    "annotations/instances_train2014.json, annotations/instances_val2014.json, train2014/ and "
    "val2014/ (or the same of 2017)",
    "Download train2014.zip, val2014.zip and annotations_trainval2014.zip from cocodataset.org, "
    "and unpack all of them in that folder.",
)

_WHAT, _REMEDY = "COCO's annotations of objects", "unpack it again from annotations_trainval.zip"

# Digits of the hash of an annotation file in the name of its cache file.
_HASH_DIGITS = 16

# All other keys are dropped while the file is read: outlines of objects make up most of it.
_KEYS = frozenset(
    {"images", "annotations", "categories", "id", "file_name", "name", "image_id", "category_id"}
)


class Annotations(NamedTuple):
    """The images in one annotation file.

    Attributes:
      classes: names of the C categories, in the order of the file.
      ids: COCO's numbers of the N images, int64 ``[N]``.
      names: file names of the images.
      labels: multi-hot labels, int8 ``[N, C]``, of all objects, including crowds.
    """

    classes: tuple[str, ...]
    ids: Int64[np.ndarray, " N"]
    names: tuple[str, ...]
    labels: Int8[np.ndarray, "N C"]


def find_year(root: Path) -> str:
    """Returns the year of the annotations in a folder.

    Raises:
      FileNotFoundError: if annotations or folders with pictures are missing.
    """
    missing = {year: _missing(root, year) for year in YEARS}
    found = [year for year, files in missing.items() if not files]
    if found:
        return found[0]
    nearest = min(YEARS, key=lambda year: len(missing[year]))
    raise LAYOUT.error(root, f"lacks {', '.join(missing[nearest])}")


def read_part(root: Path, part: str) -> Annotations:
    """Reads the annotations of a part, e.g. `train2014`, and checks that its pictures are there.

    Raises:
      DamagedFile: if the annotations are damaged.
      FileNotFoundError: if a picture is missing.
    """
    annotations = _read_annotations(root / "annotations" / f"instances_{part}.json")
    present = set(os.listdir(root / part))
    missing = [name for name in annotations.names if name not in present]
    if missing:
        raise LAYOUT.error(
            root,
            f"lacks {len(missing):,} of the {len(annotations.names):,} pictures of {part} (first: "
            f"{printable(missing[0])})",
        )
    return annotations


def _missing(root: Path, year: str) -> list[str]:
    files = [f"annotations/instances_{part}{year}.json" for part in PARTS]
    folders = [f"{part}{year}/" for part in PARTS]
    return [
        *(file for file in files if not (root / file).is_file()),
        *(folder for folder in folders if not (root / folder).is_dir()),
    ]


def _read_annotations(file: Path) -> Annotations:
    """Reads annotations, and caches what matters of them, because parsing them is slow.

    The cache is keyed by the content of the file: hashing it takes a fraction of the time.
    """
    folder, stem = cache_folder(), f"{file.stem}-{sha256(file)[:_HASH_DIGITS]}"
    cached = None
    if folder is not None:
        cached = load_array(folder, stem, is_valid=lambda array: array.dtype == np.uint8)
    if cached is None:
        content = json.dumps(_parse(file)).encode()
        if folder is not None:
            save_array(folder, stem, np.frombuffer(content, np.uint8))
    else:
        content = cached.tobytes()
    return Annotations(*_arrays(**json.loads(content)))


def _parse(file: Path) -> dict[str, Any]:
    """Returns the categories of each image, as JSON."""
    with Progress(1, f"reading {file.name}", "file") as progress:
        content = read_json(file, _WHAT, _REMEDY, keys=_KEYS)
        progress.update()
    with damage_named(file, _WHAT, _REMEDY):
        place_of = {entry["id"]: i for i, entry in enumerate(content["categories"])}
        images: dict[int, set[int]] = {int(entry["id"]): set() for entry in content["images"]}
        for entry in content["annotations"]:
            images[entry["image_id"]].add(place_of[entry["category_id"]])
        return {
            "classes": [str(entry["name"]) for entry in content["categories"]],
            "names": [str(entry["file_name"]) for entry in content["images"]],
            "images": [[number, *sorted(places)] for number, places in images.items()],
        }


def _arrays(
    classes: list[str], names: list[str], images: list[list[int]]
) -> tuple[tuple[str, ...], Int64[np.ndarray, " N"], tuple[str, ...], Int8[np.ndarray, "N C"]]:
    labels = np.zeros((len(images), len(classes)), np.int8)
    for row, (_, *places) in zip(labels, images, strict=True):
        row[places] = 1
    ids = np.array([number for number, *_ in images], np.int64)
    return tuple(classes), ids, tuple(names), labels
