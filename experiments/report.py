"""Writes the report of a finished run: report.html, its figures, and the protocol card.

python experiments/report.py RUN_DIR            report.html, card.json and figures/ in the run
python experiments/report.py RUN_DIR --card     the protocol card as text; nothing is written
"""

import argparse
import json
import sys
from pathlib import Path

from presets import Config
from reporting.card import card_text, protocol_card
from reporting.code_figures import histogram_figure, map_figure, relaxed_codes
from reporting.distance_figures import distance_figure, radius_figure
from reporting.finished_run import read_finished_run
from reporting.gallery import gallery
from reporting.page import render_page
from reporting.ranking_figures import precision_at_figure, precision_recall_figure
from reporting.tables import class_table, radius_table
from reporting.training_figures import continuation_figure, loss_figure

import hashnet_jax
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.files import write_whole
from hashnet_jax.run_folder import RunFolder


def write_report(run_dir, dataset, params, *, seed=0):
    """Writes `report.html`, `card.json` and `figures/` into the folder of a finished run.

    Each file appears whole or not at all; the page, which holds all figures and pictures in
    itself, last.

    Args:
      run_dir: the folder, see :mod:`hashnet_jax.run_folder`.
      dataset: the :class:`hashnet_jax.data.dataset.Dataset` of the run.
      params: :class:`hashnet_jax.HashNetParams` of the run's network.
      seed: of the queries in the gallery, of t-SNE, and of draws from large data sets.

    Returns:
      The path of `report.html`.

    Raises:
      FileNotFoundError: if the run is not finished.
      ValueError: if its files do not belong together.
    """
    return _write(read_finished_run(run_dir), dataset, params, seed)


def _write(run, dataset, params, seed):
    card = protocol_card(run)
    of_counts = (precision_recall_figure, precision_at_figure, radius_figure, distance_figure)
    retrieval = [draw_figure(run.evaluation.counts) for draw_figure in of_counts]
    training = [
        loss_figure(run),
        continuation_figure(run),
        histogram_figure(run, relaxed_codes(run, dataset, params, seed=seed)),
        map_figure(run, dataset, seed=seed),
    ]
    tables = {table.name: table for table in (class_table(run, dataset), radius_table(run))}
    page = render_page(card, retrieval, training, tables, gallery(run, dataset, seed=seed))
    (run.path / "figures").mkdir(exist_ok=True)
    contents = {
        "card.json": json.dumps(card, indent=2).encode() + b"\n",
        **{f"figures/{figure.name}.png": figure.png for figure in (*retrieval, *training)},
        **{f"figures/{figure.name}.svg": figure.svg for figure in (*retrieval, *training)},
        "report.html": page.encode(),
    }
    for name, content in contents.items():
        write_whole(run.path / name, lambda file, content=content: file.write(content))
    return run.path / "report.html"


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of a finished run")
    parser.add_argument(
        "--card", action="store_true", help="print the protocol card and write nothing"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the gallery, t-SNE and other draws (default: 0)"
    )
    args = parser.parse_args(argv)
    try:
        run = read_finished_run(args.run_dir)
        if args.card:
            print(card_text(protocol_card(run)))
            return 0
        config = Config.from_json(run.config)
        dataset = DATASETS[config.dataset](config.data)
        with RunFolder(args.run_dir, resume=True):
            print(_write(run, dataset, hashnet_jax.load(args.run_dir), args.seed))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
