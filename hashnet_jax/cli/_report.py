"""Rewrites the report of a finished run from the files in its folder."""

import os
import sys
from pathlib import Path

import hashnet_jax
from hashnet_jax.cli._checks import check_names
from hashnet_jax.cli._data_record import check_data
from hashnet_jax.cli._places import read_located_config
from hashnet_jax.data import DATASETS, Dataset
from hashnet_jax.model import check_finite
from hashnet_jax.report import (
    UNVERIFIED,
    FinishedRun,
    card_text,
    check_dataset,
    protocol_card,
    read_finished_run,
    write_report,
)
from hashnet_jax.training import RunFolder


def print_card(run_dir: Path) -> None:
    """Prints the protocol card of a finished run."""
    print(card_text(protocol_card(read_finished_run(run_dir))))


def rewrite_report(run_dir: Path, *, seed: int, output: Path | None = None) -> Path:
    """Writes the report of a finished run.

    Args:
      run_dir: folder of the run.
      seed: seed for the gallery, t-SNE and other random draws.
      output: folder to write the report to; None for the run's own folder.

    Returns:
      The path to `report.html`.

    Raises:
      PermissionError: if the run folder is read-only and ``output`` is None.
      ValueError: if the run's files are damaged or inconsistent, or its data has changed.
    """
    run = read_finished_run(run_dir)
    if not run.is_verified:
        print(f"note: {UNVERIFIED}", file=sys.stderr)
    if output is None and not os.access(run_dir, os.W_OK):
        raise PermissionError(
            f"{run_dir} is read-only. Set `output` to the folder where the report should be "
            f"written."
        )
    params = hashnet_jax.load(run_dir)
    check_finite(params, source=f"the network in {run_dir}")
    # The lock keeps two commands from writing the same report.
    with RunFolder(run_dir, resume=True) as folder:
        dataset = _same_data(run, folder)
        return write_report(run, dataset, params, seed=seed, output=output)


def _same_data(run: FinishedRun, folder: RunFolder) -> Dataset:
    """Loads the run's data set, and checks that it has not changed."""
    config = read_located_config(run.path)
    dataset = DATASETS[config.dataset](config.data)
    check_names(dataset, folder)
    check_dataset(run, dataset)
    check_data(dataset, folder)
    return dataset
