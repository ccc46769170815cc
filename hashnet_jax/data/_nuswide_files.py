r"""Reads the labels of NUS-WIDE, and lists its pictures, from the folders that people have::

    ImageList/Imagelist.txt                     lines such as actor\0001_2124494179.jpg
    Groundtruth/AllLabels/Labels_airport.txt    a 0 or 1 for each of these lines
    Flickr/actor/0001_2124494179.jpg            or images/actor/..., or all pictures in one folder

The concepts are known, so `ConceptsList/Concepts81.txt` is not needed.

With all 269,648 images, reading the 81 label files takes 2 s, so labels are not cached: checking a
cache by their content would save little of it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from hashnet_jax.data._image_root import Layout
from hashnet_jax.data._listed_pictures import Listed
from hashnet_jax.distributed.files import refuse_pipe
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.distributed.reading import damage_named, read_text

_CONCEPTS = """
airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds
computer coral cow dancing dog earthquake elk fire fish flags flowers food fox frost garden
glacier grass harbor horses house lake leaf map military moon mountain nighttime ocean person
plane plants police protest railroad rainbow reflection road rocks running sand sign sky snow
soccer sports statue street sun sunset surf swimmers tattoo temple tiger tower town toy train
tree valley vehicle water waterfall wedding whales window zebra
"""
CONCEPTS = tuple(_CONCEPTS.split())

LAYOUT = Layout(
    "nuswide",
    "ImageList/Imagelist.txt, Groundtruth/AllLabels/Labels_CONCEPT.txt for each of 81 concepts, "
    "and the pictures in Flickr/ or images/",
    "Download ImageList and Groundtruth from the page of NUS-WIDE at lms.comp.nus.edu.sg, where "
    "the pictures can be requested, and unpack all of them in that folder.",
)

_IMAGE_LISTS = ("ImageList/Imagelist.txt", "Imagelist.txt")
_LABEL_FOLDERS = ("Groundtruth/AllLabels", "AllLabels")
_PICTURE_FOLDERS = ("Flickr", "images")

_REMEDY = "unpack it again from the archives of NUS-WIDE"


def find_folder(root: Path) -> Path:
    """Returns the folder that contains the pictures.

    Raises:
      FileNotFoundError: if there is none.
    """
    return LAYOUT.find(root, _PICTURE_FOLDERS)


def read_labels(root: Path, concepts: Sequence[str]) -> Listed:
    """Reads the names of all listed images, and their labels for some of the 81 concepts.

    Raises:
      DamagedFile: if a file is damaged.
      FileNotFoundError: if a file is missing.
      ValueError: if there are labels for another concept.
    """
    image_list = LAYOUT.find(root, _IMAGE_LISTS)
    folder = LAYOUT.find(root, _LABEL_FOLDERS)
    _check_concepts(root, folder)
    names = _read_names(image_list)
    labels = np.empty((len(names), len(concepts)), np.int8)
    with Progress(len(concepts), "reading labels", "concept") as progress:
        for column, concept in enumerate(concepts):
            labels[:, column] = _read_column(_label_file(folder, concept), image_list, len(names))
            progress.update()
    return Listed(tuple(concepts), names, labels)


def _label_file(folder: Path, concept: str) -> Path:
    return folder / f"Labels_{concept}.txt"


def _check_concepts(root: Path, folder: Path) -> None:
    expected = {_label_file(folder, concept).name for concept in CONCEPTS}
    found = {path.name for path in folder.glob("Labels_*.txt")}
    if missing := sorted(expected - found):
        raise LAYOUT.error(
            root, f"lacks {len(missing)} of the 81 label files (first: {missing[0]})"
        )
    if others := sorted(found - expected):
        raise ValueError(
            f"{folder} must have a label file for each of the 81 concepts, and no others, but has "
            f"{printable(others[0])} ({len(others):,} in total). Remove it."
        )


def _read_names(file: Path) -> tuple[str, ...]:
    what = "the list of NUS-WIDE's images"
    lines = read_text(file, what, _REMEDY).splitlines()
    with damage_named(file, what, _REMEDY):
        names = tuple(line.strip().replace("\\", "/") for line in lines)
        if not names or not all(names):
            raise ValueError("it must have a path on each line")
        return names


def _read_column(file: Path, image_list: Path, n_images: int) -> Int8[np.ndarray, " N"]:
    """Reads the labels of one concept."""
    refuse_pipe(file)
    with damage_named(file, "the labels of a concept of NUS-WIDE", _REMEDY):
        if not file.stat().st_size:
            raise ValueError("it is empty")
        column = np.loadtxt(file, np.int8, ndmin=2, comments=None)
        if column.shape != (n_images, 1):
            raise ValueError(
                f"it must have a 0 or 1 for each of the {n_images:,} lines of {image_list.name}, "
                f"but has {column.shape[0]:,} lines with {column.shape[1]} entries"
            )
        if (wrong := (column < 0) | (column > 1)).any():
            line = int(np.argmax(wrong))
            raise ValueError(f"line {line + 1} must be 0 or 1, but is {column[line, 0]}")
        return column[:, 0]
