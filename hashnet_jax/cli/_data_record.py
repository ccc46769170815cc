"""Writes and checks `data.json`, which records which data a run uses and where it was found."""

from typing import Any

import numpy as np
from jaxtyping import Int

from hashnet_jax.cli._places import DATA_FILE, RECORD_DAMAGE, places_now
from hashnet_jax.data import Dataset
from hashnet_jax.data.content import content_digest
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.json_values import count, record, text
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.distributed.reading import damage_named
from hashnet_jax.training import RunFolder

# Maximum number of images to hash if they are not in memory.
MAX_HASHED_IMAGES = 20_000

_check_record = record(
    {"hashed_images": count, "content_sha256": text, "working_folder": text, "run_folder": text}
)


def check_data(dataset: Dataset, folder: RunFolder) -> None:
    """Checks that the images have not changed since a resumed run started.

    If the images are not in memory, at most ``MAX_HASHED_IMAGES`` evenly spaced images are
    compared.

    Raises:
      ValueError: if the content of the images has changed.
      DamagedFile: if `data.json` is damaged.
    """
    saved = folder.read_json(DATA_FILE)
    if saved is None or not processes.is_first():
        return
    path = folder.path / DATA_FILE
    with damage_named(path, *RECORD_DAMAGE):
        _check_record(saved)
    if data_digest(dataset) != {name: saved[name] for name in ("hashed_images", "content_sha256")}:
        raise ValueError(
            "the content of the images has changed since the run started (their "
            f"SHA-256 does not match {path}). Restore the data, or start a new run."
        )


def write_data_record(dataset: Dataset, folder: RunFolder) -> None:
    """Writes `data.json`, unless it is up to date."""
    saved, places = folder.read_json(DATA_FILE), places_now(folder.path)
    if saved is None and processes.is_first():
        folder.write_json(DATA_FILE, data_digest(dataset) | places)
    elif saved is not None and saved != saved | places:
        folder.write_json(DATA_FILE, saved | places)


def data_digest(dataset: Dataset) -> dict[str, Any]:
    """Returns the number of hashed images and a hash of their content."""
    indices = _hashed_indices(dataset)
    with Progress(len(indices), "hashing images", "image") as progress:
        digest = content_digest(dataset.source, indices, progress=progress)
    return {"hashed_images": len(indices), "content_sha256": digest}


def _hashed_indices(dataset: Dataset) -> Int[np.ndarray, " n"]:
    indices = np.unique(np.concatenate(list(dataset.split.parts().values())))
    if dataset.source.in_memory or len(indices) <= MAX_HASHED_IMAGES:
        return indices
    return indices[np.linspace(0, len(indices) - 1, MAX_HASHED_IMAGES).astype(int)]
