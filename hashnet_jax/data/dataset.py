"""What a data set is, and what a user may say about it."""

import dataclasses

import numpy as np

from hashnet_jax.data.protocols import Split

# Options by the way in which a data set is split.
BY_CLASS = ("queries_per_class", "train_per_class", "validation_per_class")
IN_ALL = ("queries", "train_images", "validation_images")
OF_FILES = ("lists", "image_root", "csv", "allow_overlap")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may say about where a data set is and how it is split.

    Data with one label an image is drawn from by class, multi-label data as a whole; lists say
    themselves which image is for what. An option of another way is an error, not ignored.

    Attributes:
      data_dir: TFDS's folder, or None for its default.
      manual_dir: folder with archives fetched by hand, or None for TFDS's default.
      lists: folder of list files, see :mod:`hashnet_jax.data.lists`.
      image_root: folder of class folders, see :mod:`hashnet_jax.data.folder`; or that the paths of
        lists or of a CSV file start from, None for where these are.
      csv: file of paths and labels, see :mod:`hashnet_jax.data.folder`.
      queries_per_class: None for all of the query pool, where the protocol keeps one.
      train_per_class: training images of a class; None for all.
      validation_per_class: validation images of a class.
      queries: of multi-label data, in all.
      train_images: of multi-label data, in all.
      validation_images: of multi-label data and of lists, in all.
      train_in_database: whether the training images are also searched in; None is yes, and the
        only choice for lists.
      allow_overlap: whether list files may name queries in the database or in train.
      split_seed: of the draw, >= 0.

    Raises:
      ValueError: for a number out of its range.
    """

    data_dir: str | None = None
    manual_dir: str | None = None
    lists: str | None = None
    image_root: str | None = None
    csv: str | None = None
    queries_per_class: int | None = None
    train_per_class: int | None = None
    validation_per_class: int = 0
    queries: int | None = None
    train_images: int | None = None
    validation_images: int = 0
    train_in_database: bool | None = None
    allow_overlap: bool = False
    split_seed: int = 0

    def __post_init__(self):
        least = dict.fromkeys((*BY_CLASS, *IN_ALL), 1)
        least |= {"validation_per_class": 0, "validation_images": 0, "split_seed": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ValueError(f"{name} must be >= {bound}, got {value}.")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images by index, their labels, and which of them are for what.

    Attributes:
      name: a name in ``DATASETS``.
      source: images uint8 ``[H, W, 3]`` by index, see :mod:`hashnet_jax.data.sources`.
      labels: class ids int ``[N]``, or multi-hot ``[N, C]``, by the same index.
      classes: names of the C classes.
      split: :class:`hashnet_jax.data.protocols.Split`.
      notes: what a user should know of the data, a sentence each.
      names: of the N images, saved with the run; empty where the images have none.
      skipped: ``(name, reason)`` of files that could not be read.
    """

    name: str
    source: object
    labels: np.ndarray
    classes: tuple[str, ...]
    split: Split
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def refuse(name, options, fields, remedy):
    """Raises ValueError if any of these options was given: it says nothing about this data set."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in fields and value != field.default:
            option = "database" if field.name == "train_in_database" else field.name
            raise ValueError(
                f"{name} takes no --{option.replace('_', '-')}, got {value}: {remedy}."
            )
