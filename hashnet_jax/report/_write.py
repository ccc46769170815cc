"""Writes the report of a finished run into its folder."""

import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

from hashnet_jax.data import Dataset
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.model import HashNetParams
from hashnet_jax.report._finished_run import FinishedRun, read_finished_run


def write_report(
    run: FinishedRun | str | os.PathLike[str],
    dataset: Dataset,
    params: HashNetParams,
    *,
    seed: int = 0,
) -> Path:
    """Writes `report.html`, `card.json` and `figures/` into the folder of a finished run.

    Each file is written atomically. The page embeds all figures and pictures, and is written last.

    Args:
      run: the run or its folder; see :mod:`hashnet_jax.training`.
      dataset: the run's data set.
      params: the run's network.
      seed: seed for the gallery, for t-SNE, and for sampling from large data sets.

    Returns:
      The path of `report.html`.

    Raises:
      FileNotFoundError: if the run is not finished.
      ModuleNotFoundError: if matplotlib or scikit-learn is not installed.
      ValueError: if the run's files do not belong together.
    """
    # Imported here because cards and search pages need neither matplotlib nor scikit-learn.
    from hashnet_jax.report._compose import compose

    if not isinstance(run, FinishedRun):
        run = read_finished_run(run)
    files = compose(run, dataset, params, seed=seed)
    (run.path / "figures").mkdir(exist_ok=True)
    for name, content in files.items():
        write_whole(run.path / name, partial(_write_bytes, content))
    return run.path / "report.html"


def _write_bytes(content: bytes, file: BinaryIO) -> None:
    file.write(content)
