"""One's own pictures: a subfolder a class, or a CSV file of paths and labels.

Folders, by ``image_root``: the first folder below it is the class, what is nested deeper belongs to
it. A CSV file, by ``csv``, has a line a picture::

    path,labels
    beach/0001.jpg,sea;sand
    "a, b.png",sky

The path starts from ``image_root`` (by default the folder of the CSV file), labels are parted by
``;``. The first line may be the header above. UTF-8, with quotes where a field holds a comma. Where
each picture has exactly one label the data is single-label, as of folders; else it is multi-label,
and a picture without one is similar to none.

All pictures are decoded once before anything else, since a run should not end on the one that
cannot be; those are left out, and named.
"""

import collections
import csv
import os
from pathlib import Path

import numpy as np

from hashnet_jax.data.dataset import BY_CLASS, IN_ALL, Dataset, refuse
from hashnet_jax.data.lists import SHOWN, stop_at
from hashnet_jax.data.pictures import check_pictures, find_pictures, printable
from hashnet_jax.data.protocols import per_class_split, random_split
from hashnet_jax.data.sources import FileSource

# By default a tenth is asked for and the rest trained on and searched in. At most so many queries:
# more would not make MAP more certain, but leave less to train on.
QUERIES_PER_CLASS, QUERIES = 100, 5_000


def folder(options):
    """Pictures in folders named by their class, or in a CSV file with their labels.

    Args:
      options: :class:`hashnet_jax.data.dataset.Options` with ``image_root`` or ``csv``. Without
        ``queries_per_class`` (``queries`` of multi-label data) a tenth of each class is asked for,
        at least one picture and at most ``QUERIES_PER_CLASS`` (``QUERIES``); without
        ``train_per_class`` (``train_images``), all the others are trained on.

    Returns:
      :class:`hashnet_jax.data.dataset.Dataset`, its labels class ids int64 ``[N]`` or multi-hot
      int8 ``[N, C]``; ``names`` are paths from the root, in their order; pictures that cannot be
      read are in ``skipped``.

    Raises:
      FileNotFoundError: if the folder or the CSV file is not there, or no picture is in it.
      ValueError: for lines of another form, fewer than two classes, or a class that is too small.
    """
    refuse("folder", options, ("lists", "allow_overlap"), "they belong to --dataset lists")
    root, notes, skipped = options.image_root, [], []
    if root is None and options.csv is None:
        raise ValueError(
            "folder needs --image-root DIR with a subfolder for each class, or --csv FILE, got "
            "neither."
        )
    if root is not None and not os.path.isdir(Path(root).expanduser()):
        raise FileNotFoundError(f"--image-root must be a folder, got no folder at {root}.")
    if options.csv is not None:
        file = Path(options.csv).expanduser()
        root = file.parent if root is None else Path(root).expanduser()
        labels_of = _read_csv(file)
    else:
        root = Path(root).expanduser()
        labels_of = _read_folders(root, notes, skipped)
    reasons = check_pictures([root / name for name in labels_of])
    faults = zip(labels_of, reasons, strict=True)
    skipped += [(printable(name), reason) for name, reason in faults if reason]
    names = [name for name, reason in zip(labels_of, reasons, strict=True) if not reason]
    if not names:
        first = f" (first: {skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise FileNotFoundError(
            f"{options.csv or root} must hold at least one picture that can be read, got none of "
            f"{len(skipped)}{first}."
        )
    if skipped:
        notes.append(f"skipped {len(skipped):,} that cannot be read (all are in pictures.json)")
        notes += [f"skipped {name}: {reason}" for name, reason in skipped[:SHOWN]]
    rows = [labels_of[name] for name in names]
    classes = tuple(sorted({label for row in rows for label in row}))
    if len(classes) < 2:
        raise ValueError(
            f"there must be at least two classes of pictures, got {list(classes)} in "
            f"{options.csv or root}: give each class a subfolder, or labels in a CSV file."
        )
    ids = {label: i for i, label in enumerate(classes)}
    if all(len(row) == 1 for row in rows):
        labels = np.array([ids[label] for (label,) in rows], np.int64)
        split = _split_by_class(labels, classes, options)
    else:
        labels = np.zeros((len(rows), len(classes)), np.int8)
        for i, row in enumerate(rows):
            labels[i, [ids[label] for label in row]] = 1
        split = _split_in_all(labels, options, notes)
    source = FileSource([root / name for name in names])
    return Dataset(
        "folder", source, labels, classes, split, tuple(notes), tuple(names), tuple(skipped)
    )


def _read_folders(root, notes, skipped):
    """{name: (class,)} in the order of names."""

    def skip(path, reason):
        skipped.append((printable(os.path.relpath(path, root)), reason))

    found = sorted(os.path.relpath(path, root) for path in find_pictures(root, skip))
    loose = [name for name in found if os.sep not in name]
    if loose:
        notes.append(
            f"pictures in no subfolder, so of no class, left out: {len(loose):,} "
            f"(first: {printable(loose[0])})"
        )
    return {name: (name.split(os.sep)[0],) for name in found if os.sep in name}


def _read_csv(file):
    """{name: labels} in the order of names."""
    if not file.is_file():
        raise FileNotFoundError(f"--csv must be a file, got no file at {file}.")
    labels_of, faults = {}, []
    with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        lines = csv.reader(opened, strict=True)
        try:
            for row in lines:
                where = f"{file.name}, line {lines.line_num}"
                if not row or (lines.line_num == 1 and row == ["path", "labels"]):
                    continue
                if len(row) != 2 or not row[0]:
                    faults.append(f"{where}: expected `path,label1;label2`, got {row}")
                elif row[0] in labels_of:
                    faults.append(f"{where}: expected each picture once, got {row[0]!r} again")
                else:
                    labels = {label.strip() for label in row[1].split(";")} - {""}
                    labels_of[row[0]] = tuple(sorted(labels))
        except csv.Error as error:
            faults.append(f"{file.name}, line {lines.line_num}: {error}")
    stop_at(faults, ValueError, "a line of the CSV file must be `path,label1;label2`")
    return dict(sorted(labels_of.items()))


def _split_by_class(labels, classes, options):
    refuse("folder", options, IN_ALL, "with one label a picture, say how many a class")
    counts = collections.Counter(labels.tolist())
    asked, held = options.queries_per_class, options.validation_per_class
    queries = {
        label: min(max(1, count // 10), QUERIES_PER_CLASS) if asked is None else asked
        for label, count in counts.items()
    }
    small = [label for label in sorted(counts) if counts[label] <= queries[label] + held]
    if small:
        named = ", ".join(f"{classes[label]} ({counts[label]})" for label in small[:SHOWN])
        raise ValueError(
            f"each class must have more pictures than its queries ({asked or 'at least 1'}) and "
            f"validation pictures ({held}), got too few in {len(small)} of {len(classes)}: {named}"
            ": add pictures, take these classes out, or ask for fewer with --queries-per-class "
            "and --validation-per-class."
        )
    train = options.train_per_class
    if train is None:
        if options.train_in_database is False:
            raise ValueError(
                "--database rest-without-train needs --train-per-class N, got none, which trains "
                "on all but the queries and leaves nothing to search in."
            )
        train = {label: count - queries[label] - held for label, count in counts.items()}
    return per_class_split(
        labels,
        queries=queries,
        train=train,
        validation=held,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )


def _split_in_all(labels, options, notes):
    refuse("folder", options, BY_CLASS, "with several labels a picture, say how many in all")
    labelled = np.flatnonzero(labels.any(axis=1))
    if len(labelled) < len(labels):
        notes.append(f"pictures without label, left out: {len(labels) - len(labelled):,}")
    queries, train = options.queries, options.train_images
    if queries is None:
        queries = min(max(1, len(labelled) // 10), QUERIES)
    if train is None:
        train = len(labelled) - queries - options.validation_images
    return random_split(
        labelled,
        queries=queries,
        train=train,
        validation=options.validation_images,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )
