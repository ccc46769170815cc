"""Finds a learning rate for a run with a frozen backbone, and records the search."""

import dataclasses
from collections.abc import Collection
from typing import Any

from hashnet_jax.cli._run import Run
from hashnet_jax.distributed.json_values import number, record, text
from hashnet_jax.distributed.reading import damage_named
from hashnet_jax.training import search_learning_rate

RATE_FILE = "learning_rate.json"

_DAMAGE = ("the learning rate that this run found", "restore it, or delete it to search again")
_check_record = record({"learning_rate": number, "summary": text})


def with_found_rate(run: Run) -> Run:
    """Returns the run with a learning rate from `learning_rate.json`, or from a new search.

    Args:
      run: a run with cached features, whose config has no learning rate.

    Raises:
      DamagedFile: if `learning_rate.json` is damaged.
      ValueError: if there are too few training images.
    """
    found = run.folder.read_json(RATE_FILE)
    if found is None:
        found = _search(run)
        run.folder.write_json(RATE_FILE, found)
    with damage_named(run.folder.path / RATE_FILE, *_DAMAGE):
        _check_record(found)
    print(f"learning rate: {found['summary']}")
    spec = dataclasses.replace(run.config.train, learning_rate=float(found["learning_rate"]))
    return dataclasses.replace(run, config=dataclasses.replace(run.config, train=spec))


def described_rate(run: Run) -> str:
    """Describes the learning rate of a run and, if it was searched for, how it was found."""
    found = run.folder.read_json(RATE_FILE)
    if found is None:
        return f"{run.config.train.learning_rate:g}"
    return found["summary"]


def _search(run: Run) -> dict[str, Any]:
    assert run.features is not None
    config = run.config
    search = search_learning_rate(
        run.features,
        run.dataset,
        bits=config.model.bits,
        spec=config.train,
        batch_size=config.batch_size,
        cutoff=config.cutoff,
    )
    seeds = len(search.maps[0])
    summary = (
        f"{search.rate:g}, the best of {len(search.rates)} from "
        f"{min(search.rates):g} to {max(search.rates):g} by MAP@{config.cutoff or 'all'} over "
        f"{seeds} seeds, {_range(search.held_out)} held-out images against "
        f"{_range(search.database)} others; queries were not used"
    )
    return {"summary": summary, "learning_rate": search.rate} | dataclasses.asdict(search)


def _range(numbers: Collection[int]) -> str:
    """Formats the range of a count over all seeds, each of which may hold out different classes."""
    ends = sorted({min(numbers), max(numbers)})
    return " to ".join(f"{number:,}" for number in ends)
