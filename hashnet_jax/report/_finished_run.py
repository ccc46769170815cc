"""Reads the files of a finished run, and checks that they belong together."""

import dataclasses
import functools
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num, UInt8

from hashnet_jax.metrics import (
    AveragePrecision,
    Evaluation,
    MeanAveragePrecision,
    average_precision,
    evaluate,
)

FILES = ("config.json", "metrics.jsonl", "model.npz", "codes.npz", "result.json")


class CodeSet(NamedTuple):
    """Codes of the queries or the database.

    Attributes:
      codes: packed codes.
      labels: class ids ``[N]``, or multi-hot labels ``[N, C]``.
      indices: indices of the images in the data set's source.
    """

    codes: UInt8[np.ndarray, "N bytes"]
    labels: Num[np.ndarray, "N *C"]
    indices: Int[np.ndarray, " N"]


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run, read from its folder.

    Attributes:
      path: the run's folder.
      config: content of `config.json`.
      result: content of `result.json`.
      history: the lines of `metrics.jsonl` that contain a loss, ordered by step.
      query: codes of the queries.
      database: codes of the database.
      evaluation: MAP and counts per distance, recomputed from the codes.
    """

    path: Path
    config: dict[str, Any]
    result: dict[str, Any]
    history: list[dict[str, Any]]
    query: CodeSet
    database: CodeSet
    evaluation: Evaluation

    @property
    def bits(self) -> int:
        """K, the number of bits per code."""
        return self.config["model"]["bits"]

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.path.resolve().name

    @property
    def mean_average_precision(self) -> MeanAveragePrecision:
        """MAP as reported in `result.json`."""
        return MeanAveragePrecision(**self.result["map"])

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.database.labels.ndim == 2

    @property
    def end(self) -> dict[str, Any]:
        """The last line logged up to the evaluated step."""
        return [line for line in self.history if line["step"] <= self.result["step"]][-1]

    @functools.cached_property
    def average_precision(self) -> AveragePrecision:
        """AP of each query, under the same convention as the run's MAP."""
        mean = self.mean_average_precision
        return average_precision(self.evaluation.counts, cutoff=mean.cutoff, divisor=mean.divisor)


def read_finished_run(run_dir: str | os.PathLike[str]) -> FinishedRun:
    """Reads the folder of a finished run.

    Args:
      run_dir: the run folder; see :mod:`hashnet_jax.training`.

    Returns:
      The run.

    Raises:
      FileNotFoundError: if the run is not finished, or a file is missing.
      ValueError: if nothing was logged up to the evaluated step, or the MAP of `codes.npz` differs
        from that in `result.json`.

    Examples:
      >>> read_finished_run("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: runs/none must contain a finished run, but has no config.json, ...
    """
    path = Path(run_dir)
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path} must contain a finished run, but has no {', '.join(missing)}: finish the run "
            "with `resume=True`, or name another folder."
        )
    config, result = (json.loads((path / name).read_text()) for name in (FILES[0], FILES[-1]))
    history = _read_history(path / "metrics.jsonl", result["step"])
    with np.load(path / "codes.npz") as file:
        query, database = (
            CodeSet(*(file[f"{name}_{part}"] for part in CodeSet._fields))
            for name in ("query", "database")
        )
    evaluation = _evaluate_again(path, config["model"]["bits"], query, database, result["map"])
    return FinishedRun(path, config, result, history, query, database, evaluation)


def label_ids(label: Num[np.ndarray, " C"] | np.integer) -> list[int]:
    """The class ids of one image's label, ascending.

    Examples:
      >>> label_ids(np.int64(3)), label_ids(np.array([0, 1, 1]))
      ([3], [1, 2])
    """
    return np.flatnonzero(label).tolist() if isinstance(label, np.ndarray) else [int(label)]


def _read_history(path: Path, step: int) -> list[dict[str, Any]]:
    lines = map(json.loads, path.read_text().splitlines())
    history = [line for line in lines if "loss" in line]
    if not any(line["step"] <= step for line in history):
        raise ValueError(
            f"{path} contains no loss up to the evaluated step {step} ({len(history)} losses in "
            "all): repeat the run."
        )
    return history


def _evaluate_again(
    path: Path, bits: int, query: CodeSet, database: CodeSet, reported: dict[str, Any]
) -> Evaluation:
    evaluation = evaluate(
        query.codes,
        database.codes,
        query.labels,
        database.labels,
        bits=bits,
        cutoff=reported["cutoff"],
        divisor=reported["divisor"],
        no_hit=reported["no_hit"],
    )
    again = float(evaluation.mean_average_precision.expected)
    if not np.isclose(again, reported["expected"], rtol=0, atol=1e-9, equal_nan=True):
        raise ValueError(
            f"codes.npz and result.json in {path} do not belong together: the codes have MAP "
            f"{again:.6f}, but the result reports {reported['expected']:.6f}. One of the files was "
            "replaced: repeat the run."
        )
    return evaluation
