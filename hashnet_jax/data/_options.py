"""The options in a config that determine where a data set is and how it is split."""

import dataclasses
from dataclasses import field


@dataclasses.dataclass(frozen=True)
class Options:
    """The location of a data set, and how it is split.

    Single-label data is split class by class, multi-label data regardless of class, and list files
    define the split themselves. An option that does not apply to the data set raises an error
    instead of being ignored.

    Attributes:
      data_dir: TFDS's data folder, or None for its default.
      manual_dir: folder with manually downloaded archives, or None for TFDS's default.
      lists: folder with list files, see :mod:`hashnet_jax.data.list_files`.
      image_root: folder with one subfolder per class, see :mod:`hashnet_jax.data.folder`; for list
        files or a CSV file, the folder that the listed paths are relative to (None for the folder
        that contains the list files or the CSV file); for shards, a folder with
        Parquet or tar files; for published data sets, the folder where their archives were unpacked
        (None to read TFDS's data).
      csv: CSV file with paths and labels, see :mod:`hashnet_jax.data.folder`.
      queries_per_class: number of queries per class (single-label data and nuswide_21); None for
        the whole query pool, if the protocol defines a query pool.
      train_per_class: number of training images per class (single-label data and nuswide_21); None
        for all (single-label data only).
      validation_per_class: number of validation images per class (single-label data and
        nuswide_21).
      unseen_classes: number of classes, chosen by ``split_seed``, whose images form the queries and
        the database. Training and validation images are from the other classes, and
        ``train_in_database`` has no effect. 0 for the usual protocol, in which all classes are
        seen in training. Single-label data only.
      queries: total number of queries (multi-label data only).
      train_images: total number of training images (multi-label data only).
      validation_images: total number of validation images (multi-label data and list files only).
      train_in_database: whether the database includes the training images. None (the default)
        means True. Must be None for list files, which define the database themselves.
      allow_overlap: whether the queries in list files may also be in the database or in the
        training set.
      split_seed: seed for the random split, >= 0.

    Raises:
      ValueError: if any value is out of range; the message has one line per invalid value.
    """

    # Fields with `help` become command-line options (hashnet_jax.cli._options). Fields with
    # `location` may change when a run is resumed.
    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "TFDS's data folder",
            "none": "~/tensorflow_datasets",
            "metavar": "DIR",
            "group": "data",
            "location": True,
        },
    )
    manual_dir: str | None = field(
        default=None,
        metadata={
            "help": "folder with the ILSVRC2012 archives, needed to prepare imagenet100",
            "none": "downloads/manual in `data_dir`",
            "metavar": "DIR",
            "group": "data",
            "location": True,
        },
    )
    lists: str | None = field(
        default=None,
        metadata={
            "help": "for lists: folder with train.txt, test.txt and database.txt",
            "metavar": "DIR",
            "group": "data",
            "location": True,
        },
    )
    image_root: str | None = field(
        default=None,
        metadata={
            "help": "for folder: a folder with one subfolder per class; for lists and CSV files: "
            "the folder that their paths are relative to; for shards: a folder with Parquet or tar "
            "files; for published data sets: the folder where their archives were unpacked",
            "none": "the folder that contains the lists or the CSV file; TFDS's data",
            "metavar": "DIR",
            "group": "data",
            "location": True,
        },
    )
    csv: str | None = field(
        default=None,
        metadata={
            "help": "for folder: a CSV file with one line `path,label1;label2` per picture",
            "metavar": "FILE",
            "group": "data",
            "location": True,
        },
    )
    queries_per_class: int | None = field(
        default=None,
        metadata={
            "help": "queries per class (single-label data and nuswide_21)",
            "none": "the whole query pool; for folder, a tenth of each class, at most 100",
            "metavar": "N",
            "minimum": 1,
            "group": "protocol",
        },
    )
    train_per_class: int | None = field(
        default=None,
        metadata={
            "help": "training images per class (single-label data and nuswide_21)",
            "none": "all",
            "metavar": "N",
            "minimum": 1,
            "group": "protocol",
        },
    )
    validation_per_class: int = field(
        default=0,
        metadata={
            "help": "validation images per class (single-label data and nuswide_21)",
            "metavar": "N",
            "minimum": 0,
            "group": "protocol",
        },
    )
    unseen_classes: int = field(
        default=0,
        metadata={
            "help": "draw queries and database from N classes that are unseen in training "
            "(single-label data only; 0 for the usual protocol)",
            "metavar": "N",
            "minimum": 0,
            "group": "protocol",
        },
    )
    queries: int | None = field(
        default=None,
        metadata={
            "help": "total number of queries (multi-label data only)",
            "none": "for folder, a tenth of the pictures, at most 5000",
            "metavar": "N",
            "minimum": 1,
            "group": "protocol",
        },
    )
    train_images: int | None = field(
        default=None,
        metadata={
            "help": "total number of training images (multi-label data only)",
            "none": "all",
            "metavar": "N",
            "minimum": 1,
            "group": "protocol",
        },
    )
    validation_images: int = field(
        default=0,
        metadata={
            "help": "total number of validation images (multi-label data and lists only)",
            "metavar": "N",
            "minimum": 0,
            "group": "protocol",
        },
    )
    train_in_database: bool | None = field(
        default=None,
        metadata={
            "help": "contents of the database: all images except the queries, with or without the "
            "training images",
            "flag": "--database",
            "words": {"rest": True, "rest-without-train": False},
            "none": "rest",
            "group": "protocol",
        },
    )
    allow_overlap: bool = field(
        default=False,
        metadata={
            "help": "allow list files with queries in the database or in the training set",
            "group": "protocol",
        },
    )
    split_seed: int = field(
        default=0,
        metadata={
            "help": "seed for the random split",
            "metavar": "N",
            "minimum": 0,
            "group": "protocol",
        },
    )

    def __post_init__(self) -> None:
        problems = []
        for each in dataclasses.fields(self):
            value, minimum = getattr(self, each.name), each.metadata.get("minimum")
            if minimum is not None and value is not None and value < minimum:
                problems.append(f"`{each.name}` must be >= {minimum}, got {value}.")
        if problems:
            raise ValueError("\n".join(problems))
