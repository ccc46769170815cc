"""The files of a finished run, read and checked against each other."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hashnet_jax.average_precision import average_precision
from hashnet_jax.metrics import Evaluation, MeanAveragePrecision, evaluate

FILES = ("config.json", "metrics.jsonl", "model.npz", "codes.npz", "result.json")


class CodeSet(NamedTuple):
    """Codes of queries or database.

    Attributes:
      codes: uint8 ``[N, ceil(K/8)]``, packed.
      labels: class ids int ``[N]``, or multi-hot ``[N, C]``.
      indices: int ``[N]``, of the images in the data set's source.
    """

    codes: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run, as its folder tells it.

    Attributes:
      path: the run's folder.
      config: content of `config.json`.
      result: content of `result.json`.
      history: the lines of `metrics.jsonl` that hold a loss, by step.
      query, database: :class:`CodeSet`.
      evaluation: MAP and per-distance counts, computed again from the codes.
    """

    path: Path
    config: dict
    result: dict
    history: list
    query: CodeSet
    database: CodeSet
    evaluation: Evaluation

    @property
    def bits(self):
        """K, the number of bits of a code."""
        return self.config["model"]["bits"]

    @property
    def mean_average_precision(self):
        """:class:`hashnet_jax.metrics.MeanAveragePrecision` of `result.json`."""
        return MeanAveragePrecision(**self.result["map"])

    @property
    def multi_label(self):
        """Whether an image may have several labels."""
        return self.database.labels.ndim == 2

    @property
    def end(self):
        """The last logged line up to the step that was evaluated."""
        return [line for line in self.history if line["step"] <= self.result["step"]][-1]

    @functools.cached_property
    def average_precision(self):
        """:class:`hashnet_jax.average_precision.AveragePrecision` of each query, ``[Q]``."""
        mean = self.mean_average_precision
        return average_precision(self.evaluation.counts, cutoff=mean.cutoff, divisor=mean.divisor)


def read_finished_run(run_dir):
    """Reads the folder of a finished run.

    Args:
      run_dir: as `experiments/run.py` left it, see :mod:`hashnet_jax.run_folder`.

    Returns:
      :class:`FinishedRun`.

    Raises:
      FileNotFoundError: if the run is not finished, or a file is missing.
      ValueError: if nothing was logged before the evaluated step, or the MAP of `codes.npz` is
        not that of `result.json`.

    Examples:
      >>> read_finished_run("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: runs/none must hold a finished run, but has no config.json, ...
    """
    path = Path(run_dir)
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path} must hold a finished run, but has no {', '.join(missing)}: finish it with "
            f"`python experiments/run.py --run-dir {path} --resume`, or name another folder."
        )
    config, result = (
        json.loads((path / f"{name}.json").read_text()) for name in ("config", "result")
    )
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    history = [line for line in lines if "loss" in line]
    if not any(line["step"] <= result["step"] for line in history):
        raise ValueError(
            f"{path / 'metrics.jsonl'} must have logged a loss up to the evaluated step "
            f"{result['step']}, but has {len(history)} losses: run it again."
        )
    with np.load(path / "codes.npz") as file:
        sets = [
            CodeSet(*(file[f"{name}_{part}"] for part in CodeSet._fields))
            for name in ("query", "database")
        ]
    evaluation = _evaluate_again(path, config["model"]["bits"], *sets, result["map"])
    return FinishedRun(path, config, result, history, *sets, evaluation)


def _evaluate_again(path, bits, query, database, reported):
    evaluation = evaluate(
        query.codes,
        database.codes,
        query.labels,
        database.labels,
        bits=bits,
        **{name: reported[name] for name in ("cutoff", "divisor", "no_hit")},
    )
    again = evaluation.mean_average_precision.expected
    if not np.isclose(again, reported["expected"], rtol=0, atol=1e-9, equal_nan=True):
        raise ValueError(
            f"codes.npz and result.json in {path} must be of one evaluation, but the codes have "
            f"MAP {again:.6f} and the result says {reported['expected']:.6f}: one of the files "
            "was replaced. Run it again."
        )
    return evaluation


def label_ids(label):
    """The class ids of one image's label, ascending.

    Examples:
      >>> label_ids(np.int64(3)), label_ids(np.array([0, 1, 1]))
      ([3], [1, 2])
    """
    return np.flatnonzero(label).tolist() if np.ndim(label) else [int(label)]
