"""Checks a run before it starts, and records which data it uses."""

import numpy as np

import hashnet_jax
from hashnet_jax.cli._resolve import LOCATIONS
from hashnet_jax.cli._run import Run
from hashnet_jax.data import Dataset, overlap
from hashnet_jax.data.pipeline import check_batch_size
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import check_divisible
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.training import RunFolder


def check_run(run: Run) -> None:
    """Checks a run early, before anything is written.

    Raises:
      ValueError: if the batch size does not suit the devices or the data, a frozen backbone is used
        with several processes, validation is enabled without validation images, or the data has
        changed since a resumed run started.
    """
    config, split = run.config, run.dataset.split
    check_divisible(config.batch_size, len(run.devices))
    if config.freeze_backbone and not processes.is_only():
        raise ValueError(
            "`freeze_backbone=True` must run in one process, got several: leave out `coordinator`. "
            "Training the hash layer alone takes only minutes."
        )
    check_batch_size(config.batch_size, n_train=len(split.train))
    if config.validate_every and not len(split.validation):
        raise ValueError(
            "`validate_every` needs validation images, got none: set `validation_per_class`, or "
            "`validation_images` for multi-label data."
        )
    check_names(run.dataset, run.folder)
    processes.together(lambda: check_split(run.dataset, run.folder))
    check_processes(run)


def check_processes(run: Run) -> None:
    """Raises ValueError if the processes differ in their config or their data."""
    content = run.config.to_json()
    content["data"] |= dict.fromkeys(LOCATIONS)
    processes.check_same("config", content | {"version": hashnet_jax.__version__})
    for name, array in split_arrays(run.dataset).items():
        processes.check_same(f"data ({name})", array)


def check_names(dataset: Dataset, folder: RunFolder) -> None:
    """Raises ValueError if the pictures have changed since a resumed run started."""
    saved = folder.read_json("pictures.json")
    if saved is not None and saved["names"] != list(dataset.names):
        new, old = set(dataset.names), set(saved["names"])
        raise ValueError(
            "cannot resume: the pictures have changed since the run started "
            f"({len(new - old):,} added, {len(old - new):,} removed; their names are in "
            f"{folder.path / 'pictures.json'}). Restore them, or start another run."
        )


def check_split(dataset: Dataset, folder: RunFolder) -> None:
    """Raises ValueError if the split has changed since a resumed run started."""
    saved = folder.read_arrays("split.npz") or {}
    for name, array in split_arrays(dataset).items():
        if name in saved and not np.array_equal(saved[name], array):
            raise ValueError(
                "cannot resume: the data has changed since the run started (the array "
                f"{name!r} differs from that in {folder.path / 'split.npz'}). Restore the data, or "
                "start another run."
            )


def split_arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """The content of `split.npz`: the image indices for each part, and all labels."""
    return dataset.split.parts() | {"labels": dataset.labels}


def write_names(dataset: Dataset, folder: RunFolder) -> None:
    """Writes `pictures.json`, which names the pictures that `split.npz` indexes."""
    if dataset.names:
        skipped = [{"name": name, "reason": reason} for name, reason in dataset.skipped]
        content = {"names": dataset.names, "classes": dataset.classes, "skipped": skipped}
        folder.write_json("pictures.json", content)


def check_overlaps(dataset: Dataset, folder: RunFolder, when: str) -> str:
    """Counts images that occur in more than one part of the split.

    The counts are computed once per run and saved to `overlaps.json`.

    Args:
      dataset: the run's data set.
      folder: the run's folder.
      when: when to compare picture contents: "always", "never" or "auto" (only if cheap).

    Returns:
      A description of the counts, or "" in all processes but the first.
    """
    by_content = when == "always" or (when == "auto" and overlap.is_cheap(dataset))
    found = folder.read_json("overlaps.json")
    if not processes.is_first():
        return ""
    if found is None or (by_content and not overlap.has_content(found)):
        found = _count_overlaps(dataset, by_content)
        folder.write_json("overlaps.json", found)
    hint = "" if overlap.has_content(found) else " (`check_overlap='always'` looks for them)"
    return overlap.describe(found) + hint


def _count_overlaps(dataset: Dataset, by_content: bool) -> dict[str, dict[str, int | None]]:
    if not by_content:
        return overlap.overlaps(dataset, by_content=False)
    with Progress(overlap.n_compared(dataset), "comparing pictures", "image") as progress:
        return overlap.overlaps(dataset, progress=progress)
