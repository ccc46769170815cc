"""Writes the report of a finished run."""

import os
from pathlib import Path

from hashnet_jax.data import Dataset
from hashnet_jax.model import HashNetParams
from hashnet_jax.report._finished_run import FinishedRun, check_dataset, read_finished_run
from hashnet_jax.report._publish import PAGE, publish


def write_report(
    run: FinishedRun | str | os.PathLike[str],
    dataset: Dataset,
    params: HashNetParams,
    *,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes `report.html`, `card.json` and `figures/` into the folder of a finished run.

    The page embeds all figures and pictures, and the card contains the hashes of `result.json` and
    of the report's other files. An existing report is replaced only after the new one is
    complete on disk; if the process is killed while the files are being renamed, there is no page.

    Args:
      run: the run or its folder; see :mod:`hashnet_jax.training`.
      dataset: the run's data set.
      params: the run's network.
      seed: seed for the gallery, for t-SNE, and for sampling from large data sets.
      output: folder for the report, created if it does not exist; None for the run folder.

    Returns:
      The path to `report.html`.

    Raises:
      FileNotFoundError: if the run is not finished.
      ModuleNotFoundError: if matplotlib or scikit-learn is not installed.
      ValueError: if the run's files are inconsistent, or ``dataset`` is not the run's data set.
    """
    # Imported here because cards and search pages do not need matplotlib or scikit-learn.
    from hashnet_jax.report._compose import compose

    if not isinstance(run, FinishedRun):
        run = read_finished_run(run)
    check_dataset(run, dataset)
    files = compose(run, dataset, params, seed=seed)
    folder = run.path if output is None else Path(output)
    publish(folder, files)
    return folder / PAGE
