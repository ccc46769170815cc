"""Finds the pictures that the publisher of a data set lists, of which people often lack some.

Flickr's users remove pictures, so those who download a list of addresses do not get all of them.
Missing pictures are therefore counted and left out, rather than refused.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int8

from hashnet_jax.data._dataset import Dataset
from hashnet_jax.data._image_root import Layout
from hashnet_jax.data.sources import FileSource
from hashnet_jax.data.splits import Split
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress

_MISSING = "the picture is missing"


class Listed(NamedTuple):
    """The images of a data set, as its publisher lists them.

    Attributes:
      classes: names of the C classes.
      names: paths to the pictures of N images, relative to the folder with all of them, with `/`.
      labels: multi-hot labels, int8 ``[N, C]``.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: Int8[np.ndarray, "N C"]


class Present(NamedTuple):
    """The listed images whose pictures exist.

    Attributes:
      listed: names and labels of these images.
      paths: paths to their pictures.
      missing: names of all other images.
      folder: the folder that contains the pictures.
    """

    listed: Listed
    paths: list[str]
    missing: tuple[str, ...]
    folder: Path

    def dataset(self, name: str, split: Split, notes: tuple[str, ...]) -> Dataset:
        """Returns these images as a data set."""
        return Dataset(
            name,
            FileSource(self.paths, upright=False),
            self.listed.labels,
            self.listed.classes,
            split,
            (*self._describe_missing(), *notes),
            self.listed.names,
            tuple((missing, _MISSING) for missing in self.missing),
        )

    def _describe_missing(self) -> Iterator[str]:
        if self.missing:
            total = len(self.missing) + len(self.paths)
            yield (
                f"pictures missing from {printable(self.folder)} and left out: "
                f"{len(self.missing):,} of {total:,} (first: {printable(self.missing[0])})"
            )


def find_pictures(layout: Layout, root: Path, folder: Path, listed: Listed) -> Present:
    """Finds the pictures of the listed images, without opening them.

    Args:
      layout: the layout, for error messages.
      root: the folder of the data set.
      folder: the folder that contains the pictures, in the subfolders that ``listed`` names, or all
        together, as some mirrors store them.
      listed: the listed images.

    Raises:
      FileNotFoundError: if there is no picture.
    """
    present = _files(folder)
    paths, rows, missing = [], [], []
    for row, name in enumerate(listed.names):
        place = name if name in present else name.rpartition("/")[2]
        if place in present:
            paths.append(os.path.join(folder, place))
            rows.append(row)
        else:
            missing.append(name)
    if not paths:
        raise layout.error(
            root,
            f"has none of the {len(listed.names):,} pictures in {os.path.relpath(folder, root)} "
            f"(first: {printable(missing[0])})",
        )
    names = tuple(listed.names[row] for row in rows)
    kept = Listed(listed.classes, names, listed.labels[np.array(rows)])
    return Present(kept, paths, tuple(missing), folder)


def _files(folder: Path) -> set[str]:
    """Returns the names of the files in a folder, and in its subfolders as `SUBFOLDER/NAME`."""
    with os.scandir(folder) as scan:
        entries = [(entry.name, entry.is_dir()) for entry in scan]
    found = {name for name, is_folder in entries if not is_folder}
    subfolders = sorted(name for name, is_folder in entries if is_folder)
    with Progress(1 + len(subfolders), f"listing {folder.name}", "folder", done=1) as progress:
        for subfolder in subfolders:
            found.update(f"{subfolder}/{name}" for name in os.listdir(folder / subfolder))
            progress.update()
    return found
