"""What a run writes down about its data before the first step, and what it must find again."""

import numpy as np
from options import FREE_ON_RESUME

import hashnet_jax
from hashnet_jax import processes
from hashnet_jax.data import overlap
from hashnet_jax.progress import Progress


def check_processes(config, dataset):
    """Raises ValueError if several processes would train on other data or with other options."""
    content = config.to_json()
    content["data"] |= dict.fromkeys(FREE_ON_RESUME)  # where it is may differ
    processes.check_same("config", content | {"version": hashnet_jax.__version__})
    for name, array in split_arrays(dataset).items():
        processes.check_same(f"{name} of the data", array)


def check_names(dataset, folder):
    """Raises ValueError if a continued run would see other pictures than it began with."""
    saved = folder.read_json("pictures.json")
    if saved is not None and saved["names"] != list(dataset.names):
        new, old = set(dataset.names), set(saved["names"])
        raise ValueError(
            "a resumed run must have the pictures that it began with, got "
            f"{len(new - old):,} others and {len(old - new):,} gone (names are in "
            f"{folder.path / 'pictures.json'}): put them back, or start another run."
        )


def split_arrays(dataset):
    """What `split.npz` holds: the indices of each part, and the labels they stand for."""
    parts = {name: getattr(dataset.split, name) for name in dataset.split.sizes()}
    return parts | {"labels": dataset.labels}


def check_split(dataset, folder):
    """Raises ValueError if the data is not that with which the run began."""
    saved = folder.read_arrays("split.npz") or {}
    for name, array in split_arrays(dataset).items():
        if name in saved and not np.array_equal(saved[name], array):
            raise ValueError(
                f"a resumed run must find the data it began with, got other {name} than in "
                f"{folder.path / 'split.npz'}: put the data back, or start another run."
            )


def write_names(dataset, folder):
    """`pictures.json`: what the indices of `split.npz` and `codes.npz` stand for."""
    if dataset.names:
        skipped = [{"name": name, "reason": reason} for name, reason in dataset.skipped]
        content = {"names": dataset.names, "classes": dataset.classes, "skipped": skipped}
        folder.write_json("pictures.json", content)


def check_overlaps(dataset, folder, when):
    """Writes `overlaps.json`, and says what is in it; copies are looked for once in a run."""
    by_content = when == "always" or (when == "auto" and overlap.is_cheap(dataset))
    found = folder.read_json("overlaps.json")
    if not processes.is_first():
        return
    if found is None or (by_content and not overlap.has_content(found)):
        if by_content:
            count = overlap.n_compared(dataset)
            with Progress(count, "comparing pictures", "image") as progress:
                found = overlap.overlaps(dataset, progress=progress)
        else:
            found = overlap.overlaps(dataset, by_content=False)
        folder.write_json("overlaps.json", found)
    print(overlap.describe(found))
