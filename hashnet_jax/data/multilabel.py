"""Multi-label data sets: COCO, and any other by list files."""

import numpy as np

from hashnet_jax.data.dataset import BY_CLASS, OF_FILES, Dataset, refuse
from hashnet_jax.data.lists import FILES, read_lists
from hashnet_jax.data.protocols import Split, random_split
from hashnet_jax.data.sources import FileSource, PooledSource


def coco(options):
    """COCO 2014, train and validation pooled, images without an object of the 80 left out.

    Labels are multi-hot int8 ``[N, 80]``: the categories of an image's objects.
    """
    from hashnet_jax.data.tfds_source import open_builder, read_split

    refuse("coco", options, BY_CLASS, "say how many in all with --queries and --train-images")
    refuse(
        "coco", options, OF_FILES, "leave it out, or read your own with --dataset lists or folder"
    )
    if options.queries is None or options.train_images is None:
        raise ValueError(
            "coco needs queries and train_images, got "
            f"{options.queries} and {options.train_images}: the paper has 5000 and 10000."
        )
    builder = open_builder("coco/2014", data_dir=options.data_dir, manual_dir=options.manual_dir)
    parts = [read_split(builder, split, "object_labels") for split in ("train", "validation")]
    labels = np.concatenate([labels for _, labels in parts])
    labelled = np.flatnonzero(labels.any(axis=1))
    split = random_split(
        labelled,
        queries=options.queries,
        train=options.train_images,
        validation=options.validation_images,
        train_in_database=options.train_in_database is not False,
        seed=options.split_seed,
    )
    return Dataset(
        "coco",
        PooledSource([source for source, _ in parts]),
        labels,
        tuple(builder.info.features["objects"].feature["label"].names),
        split,
        (f"images without label, left out: {len(labels) - len(labelled):,}",),
    )


def lists(options):
    """Images by the list files of the field, which also say their multi-hot labels.

    NUS-WIDE, and any data set in the form in which HashNet's and later authors publish theirs.
    """
    if options.lists is None:
        raise ValueError(
            f"lists needs --lists DIR, the folder of {', '.join(FILES.values())}, got none."
        )
    remedy = "the list files say which image is for what"
    refuse(
        "lists", options, (*BY_CLASS, "queries", "train_images", "train_in_database", "csv"), remedy
    )
    read = read_lists(options.lists, options.image_root)
    notes = []
    for part in ("database", "train"):
        shared = np.intersect1d(read.query, getattr(read, part))
        if len(shared):
            found = f"images of {FILES['query']} that are also in {FILES[part]}: {len(shared):,}"
            if not options.allow_overlap:
                raise ValueError(
                    f"no query may be in {part}, got {found} (first: {read.paths[shared[0]]}): "
                    f"take them out of {FILES[part]}, or accept it with --allow-overlap (a query "
                    "in the database is then a hit of its own)."
                )
            notes.append(found)
    unlabelled = np.count_nonzero(~read.labels.any(axis=1))
    if unlabelled:
        notes.append(f"images without label, so similar to none: {unlabelled:,}")
    if read.repeated:
        notes.append(
            f"lines that name an image of an earlier line of their file: {read.repeated:,}"
        )
    free = np.setdiff1d(read.database, np.union1d(read.query, read.train))
    if options.validation_images > len(free):
        raise ValueError(
            f"validation_images must be at most {len(free):,}, the images that are only in "
            f"{FILES['database']}, got {options.validation_images}: lower --validation-images."
        )
    draw = np.random.default_rng(options.split_seed)
    validation = draw.permutation(free)[: options.validation_images]
    split = Split(
        train=read.train,
        query=read.query,
        database=read.database,
        validation=validation,
        allow_overlap=options.allow_overlap,
    )
    classes = tuple(str(label) for label in range(read.labels.shape[1]))
    return Dataset("lists", FileSource(read.paths), read.labels, classes, split, tuple(notes))
