"""Rewrites the report of a finished run from the files in its folder."""

from pathlib import Path

import hashnet_jax
from hashnet_jax.configs import Config
from hashnet_jax.data import DATASETS
from hashnet_jax.report import card_text, protocol_card, read_finished_run, write_report
from hashnet_jax.training import RunFolder


def print_card(run_dir: Path) -> None:
    """Prints the protocol card of a finished run."""
    print(card_text(protocol_card(read_finished_run(run_dir))))


def rewrite_report(run_dir: Path, *, seed: int) -> Path:
    """Writes the report of a finished run.

    Args:
      run_dir: folder of the run.
      seed: seed for the gallery, t-SNE and other random draws.

    Returns:
      The path of `report.html`.
    """
    run = read_finished_run(run_dir)
    config = Config.from_json(run.config)
    dataset = DATASETS[config.dataset](config.data)
    with RunFolder(run_dir, resume=True):
        return write_report(run, dataset, hashnet_jax.load(run_dir), seed=seed)
