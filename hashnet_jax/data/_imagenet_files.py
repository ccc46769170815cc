"""Lists the pictures of ILSVRC2012 in the folders that people have, without opening them.

A training picture's class is its folder. A validation picture's class is looked up by the number in
its name, so it does not matter whether these pictures have been sorted into folders::

    train/n01440764/n01440764_10026.JPEG
    val/ILSVRC2012_val_00000001.JPEG            or
    val/n01751748/ILSVRC2012_val_00000001.JPEG

The names determine everything, and listing them is faster than checking a cached list of their
sizes and modification times would be, so no list is kept between runs.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from hashnet_jax.data._image_root import Layout
from hashnet_jax.data.pictures import SUFFIXES
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress

LAYOUT = Layout(
    "imagenet100",
    "train/WNID/WNID_NUMBER.JPEG and val/ILSVRC2012_val_NUMBER.JPEG (or the same files in "
    "val/WNID/)",
    "Unpack ILSVRC2012_img_train.tar, and each of the tar files in it into a folder of its own, "
    "into train/, and ILSVRC2012_img_val.tar into val/.",
)

_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_([0-9]{8})")
_CLASS_NAME = re.compile(r"n[0-9]{8}")


class Pictures(NamedTuple):
    """Pictures in a folder.

    Attributes:
      paths: paths to the N pictures.
      labels: class ids, int64 ``[N]``.
      numbers: the numbers in the file names, int64 ``[N]``.
      notes: remarks about files that were passed over or lie in the wrong folder.
    """

    paths: list[str]
    labels: Int64[np.ndarray, " N"]
    numbers: Int64[np.ndarray, " N"]
    notes: tuple[str, ...]


class _Listing:
    """Collects pictures, and the files that are none of the data set's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._place_of: dict[tuple[int, int], str] = {}
        self._others: list[str] = []
        self.misplaced: list[str] = []

    def add(self, folder: str, name: str, label: int, number: int) -> None:
        place = os.path.join(folder, name)
        earlier = self._place_of.setdefault((label, number), place)
        if earlier != place:
            raise ValueError(
                f"{self._root} must contain each picture once, but contains both {earlier} and "
                f"{printable(place)}. Remove one of them."
            )

    def pass_over(self, folder: str, name: str) -> None:
        self._others.append(os.path.join(folder, name))

    def pictures(self, rule: str) -> Pictures:
        notes = _counted(f"passed over (not named {rule})", self._others)
        notes += _counted(
            "pictures in another class's folder, for which the published classes are used",
            self.misplaced,
        )
        keys = np.array(list(self._place_of), np.int64).reshape(-1, 2)
        paths = [os.path.join(self._root, place) for place in self._place_of.values()]
        return Pictures(paths, keys[:, 0], keys[:, 1], notes)


def list_train(root: Path, classes: Sequence[str]) -> Pictures:
    """Lists the training pictures of some classes.

    Args:
      root: the folder that contains `train`.
      classes: WordNet ids; the label of a picture is the place of its class among them.

    Raises:
      FileNotFoundError: if there is no picture of a class.
      ValueError: if there are two files for a picture.
    """
    if not (root / "train").is_dir():
        raise LAYOUT.error(root, "has no folder train")
    listing, empty = _Listing(root), []
    with Progress(len(classes), "listing train", "folder") as progress:
        for label, wnid in enumerate(classes):
            pattern, folder, found = re.compile(rf"{wnid}_([0-9]{{1,9}})"), f"train/{wnid}", False
            for name in _names(root / folder):
                number = _number(pattern, name)
                if number is None:
                    listing.pass_over(folder, name)
                else:
                    listing.add(folder, name, label, number)
                    found = True
            empty += [] if found else [wnid]
            progress.update()
    if empty:
        raise LAYOUT.error(
            root,
            f"has no pictures of {len(empty):,} of {len(classes):,} classes in train (first: "
            f"{empty[0]})",
        )
    return listing.pictures("WNID_NUMBER.JPEG, like its folder")


def list_validation(root: Path, classes: Sequence[str], label_of: Mapping[int, int]) -> Pictures:
    """Lists the validation pictures of some classes.

    Args:
      root: the folder that contains `val`.
      classes: WordNet ids.
      label_of: the published labels, places in ``classes``, keyed by the number of the picture.

    Raises:
      FileNotFoundError: if there are no pictures of these classes.
      ValueError: if there are two files for a picture.
    """
    if not (root / "val").is_dir():
        raise LAYOUT.error(root, "has no folder val")
    listing = _Listing(root)
    for folder, name in _files(root, "val"):
        number = _number(_VALIDATION_NAME, name)
        if number is None:
            listing.pass_over(folder, name)
        elif number in label_of:
            label = label_of[number]
            listing.add(folder, name, label, number)
            own = os.path.basename(folder)
            if _CLASS_NAME.fullmatch(own) and own != classes[label]:
                listing.misplaced.append(os.path.join(folder, name))
    pictures = listing.pictures("ILSVRC2012_val_NUMBER.JPEG, with 8 digits")
    if not pictures.paths:
        problem = "; ".join(("has no validation pictures of the classes in val", *pictures.notes))
        raise LAYOUT.error(root, problem)
    return pictures


def _number(pattern: re.Pattern[str], name: str) -> int | None:
    """Returns the number in the name of a picture, or None for any other file."""
    stem, suffix = os.path.splitext(name)
    match = pattern.fullmatch(stem)
    return int(match[1]) if match and suffix.lower() in SUFFIXES else None


def _names(folder: Path) -> list[str]:
    """Returns the names in a folder, sorted; none if it is missing."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Yields ``(folder, name)`` of the files in a folder and in its subfolders."""
    with os.scandir(root / folder) as scan:
        entries = sorted((entry.name, entry.is_dir()) for entry in scan)
    subfolders = [f"{folder}/{name}" for name, is_folder in entries if is_folder]
    yield from ((folder, name) for name, is_folder in entries if not is_folder)
    with Progress(1 + len(subfolders), f"listing {folder}", "folder", done=1) as progress:
        for subfolder in subfolders:
            yield from ((subfolder, name) for name in _names(root / subfolder))
            progress.update()


def _counted(what: str, places: list[str]) -> tuple[str, ...]:
    return (f"{what}: {len(places):,} (first: {printable(places[0])})",) if places else ()
