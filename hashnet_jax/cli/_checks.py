"""Validates a run before it starts, and records which data it uses."""

from collections.abc import Callable, Iterator

import numpy as np

import hashnet_jax
from hashnet_jax.cli._data_record import check_data
from hashnet_jax.cli._places import DATA_FILE, without_places
from hashnet_jax.cli._run import Run
from hashnet_jax.cli._start import has_checkpoint
from hashnet_jax.data import Dataset
from hashnet_jax.data.held_out import held_out
from hashnet_jax.data.pipeline import check_batch_size
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import check_divisible
from hashnet_jax.distributed.json_values import each, record, text
from hashnet_jax.distributed.reading import DamagedFile, damage_named
from hashnet_jax.training import RunFolder

RESTORE = "restore it, or start a new run in another folder"

_check_picture_list = record({"names": each(text), "classes": each(text)})


def check_run(run: Run) -> None:
    """Validates a run before anything is written to disk.

    Raises:
      ValueError: if the batch size is incompatible with the devices or the data, a frozen backbone
        is used with multiple processes, validation is enabled without validation images, no images
        can be held out to find the learning rate, or the data of a resumed run has changed since
        the run started. The message has one line per invalid setting.
    """
    if problems := list(_setting_problems(run)):
        raise ValueError("\n".join(problems))
    for note in _unchecked_files(run.folder):
        print(f"note: {note}")
    check_names(run.dataset, run.folder)
    processes.together(lambda: check_split(run.dataset, run.folder))
    processes.together(lambda: check_data(run.dataset, run.folder))
    check_processes(run)


def _setting_problems(run: Run) -> Iterator[str]:
    """Yields a message for each setting that is incompatible with the devices or the data."""
    config, split = run.config, run.dataset.split
    checks: list[Callable[[], object]] = [
        lambda: check_divisible(config.batch_size, len(run.devices)),
        lambda: check_batch_size(config.batch_size, n_train=len(split.train)),
    ]
    if config.train.learning_rate is None:
        checks.append(lambda: held_out(run.dataset.labels, split))
    for check in checks:
        try:
            check()
        except ValueError as error:
            yield str(error)
    if config.freeze_backbone and not processes.is_only():
        yield (
            "`freeze_backbone=True` does not support multiple processes. Leave out `coordinator`; "
            "training only the hash layer takes just minutes."
        )
    if config.validate_every and not len(split.validation):
        yield (
            "`validate_every` requires validation images, but the split has none. Set "
            "`validation_per_class`, or `validation_images` for multi-label data."
        )


def _unchecked_files(folder: RunFolder) -> Iterator[str]:
    """Yields a note for each missing file that is needed to check the data of a resumed run."""
    if not has_checkpoint(folder):
        return
    for name, what in (("split.npz", "labels"), (DATA_FILE, "images")):
        if folder.path.is_dir() and not (folder.path / name).is_file():
            yield (
                f"{folder.path / name} is missing (version 0.1 did not write {DATA_FILE}), so "
                f"changes to the {what} since the run started cannot be detected."
            )


def check_processes(run: Run) -> None:
    """Raises a ValueError if the config or the data differs between processes."""
    content = without_places(run.config.to_json())
    processes.check_same("config", content | {"version": hashnet_jax.__version__})
    for name, array in split_arrays(run.dataset).items():
        processes.check_same(f"data ({name})", array)


def check_names(dataset: Dataset, folder: RunFolder) -> None:
    """Raises a ValueError if the picture or class names have changed since the run started."""
    saved = folder.read_json("pictures.json")
    if saved is None:
        return
    path = folder.path / "pictures.json"
    with damage_named(path, "this run's list of pictures", RESTORE):
        _check_picture_list(saved)
    if saved["names"] != list(dataset.names):
        new, old = set(dataset.names), set(saved["names"])
        examples = [f"{name!r} was added" for name in sorted(new - old)[:1]]
        examples += [f"{name!r} was removed" for name in sorted(old - new)[:1]]
        raise ValueError(
            "the pictures have changed since the run started "
            f"({len(new - old):,} added, {len(old - new):,} removed; "
            f"{', '.join(examples) or 'their order differs'}; the original list is in {path}). "
            "Restore the pictures or start a new run."
        )
    if saved["classes"] != list(dataset.classes):
        raise ValueError(
            f"the classes must be {saved['classes']}, as in {path}, got {list(dataset.classes)}. "
            "Restore the labels or start a new run."
        )


def check_split(dataset: Dataset, folder: RunFolder) -> None:
    """Raises a ValueError if the split of a resumed run has changed since the run started."""
    saved, expected = folder.read_arrays("split.npz"), split_arrays(dataset)
    if saved is None:
        return
    path = folder.path / "split.npz"
    if missing := sorted(expected.keys() ^ saved.keys()):
        reason = f"{missing[0]!r} is missing or unexpected"
        raise DamagedFile(path, "the split of this run", reason, RESTORE)
    for name, array in expected.items():
        if not np.array_equal(saved[name], array):
            raise ValueError(
                f"the data has changed since the run started ({name!r} does not "
                f"match {path}). Restore the data or start a new run."
            )


def split_arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """Returns the content of `split.npz`: the indices of each part of the split, and all labels."""
    return dataset.split.parts() | {"labels": dataset.labels}


def write_names(dataset: Dataset, folder: RunFolder) -> None:
    """Writes `pictures.json`, which names the pictures that the indices in `split.npz` refer to."""
    if dataset.names:
        skipped = [{"name": name, "reason": reason} for name, reason in dataset.skipped]
        content = {"names": dataset.names, "classes": dataset.classes, "skipped": skipped}
        folder.write_json("pictures.json", content)
