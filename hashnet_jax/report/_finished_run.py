"""Reads the files of a finished run and checks that they are consistent."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from hashnet_jax.data import Dataset
from hashnet_jax.distributed.reading import DamagedFile, damage_named
from hashnet_jax.metrics import (
    AveragePrecision,
    Evaluation,
    MeanAveragePrecision,
    average_precision,
    evaluate,
)
from hashnet_jax.model import ModelSpec
from hashnet_jax.report._result_file import is_bound, read_result
from hashnet_jax.report._run_files import CodeSet, read_codes, read_config, read_history
from hashnet_jax.weights import MODEL_FILE, read_spec

# The entries of `map` in `result.json` that are computed from the codes.
_MEASURED = {
    "expected": "MAP",
    "worst": "worst MAP",
    "best": "best MAP",
    "queries": "number of queries",
    "queries_without_hit": "number of queries without a hit",
}
FILES = ("config.json", "metrics.jsonl", MODEL_FILE, "codes.npz", "result.json")


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
      evaluation: MAP and the number of codes at each distance, recomputed from the codes.
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
        names = [field.name for field in dataclasses.fields(MeanAveragePrecision)]
        return MeanAveragePrecision(**{name: self.result["map"][name] for name in names})

    @property
    def is_verified(self) -> bool:
        """Whether the files were checked against each other; False for runs from version 0.1."""
        return is_bound(self.result)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.database.labels.ndim == 2

    @property
    def end(self) -> dict[str, Any]:
        """The training metrics that were last logged at or before the evaluated step."""
        return [line for line in self.history if line["step"] <= self.result["step"]][-1]

    @functools.cached_property
    def average_precision(self) -> AveragePrecision:
        """AP of each query, under the same convention as the run's MAP."""
        mean = self.mean_average_precision
        return average_precision(self.evaluation.counts, cutoff=mean.cutoff, divisor=mean.divisor)


def read_finished_run(run_dir: str | os.PathLike[str]) -> FinishedRun:
    """Reads the folder of a finished run.

    Runs from version 0.1 have no hashes, so only their contents are checked: the network's spec
    against the config, the MAP against the codes, and the number of steps.

    Args:
      run_dir: the run folder; see :mod:`hashnet_jax.training`.

    Returns:
      The run.

    Raises:
      FileNotFoundError: if the run is not finished, or a file is missing.
      DamagedFile: a ValueError, if a file is damaged, does not match its hash in `result.json`, or
        contradicts another file.
      ValueError: if the MAP computed from `codes.npz` differs from the one in `result.json`.

    Examples:
      >>> read_finished_run("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: runs/none must contain a finished run, but lacks config.json, ...
    """
    path = Path(run_dir)
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path} must contain a finished run, but lacks {', '.join(missing)}. Pass another "
            "folder, or finish this run with `hashnet train`."
        )
    result = read_result(path)
    config, spec = read_config(path / "config.json")
    _check_spec(path, spec)
    total_steps, bits = config["train"]["total_steps"], config["model"]["bits"]
    history = read_history(path / "metrics.jsonl", step=result["step"], total_steps=total_steps)
    codes = read_codes(path / "codes.npz", bits=bits, sizes=result["sizes"])
    evaluation = _evaluate_again(path, bits, *codes, result["map"])
    return FinishedRun(path, config, result, history, *codes, evaluation)


def check_dataset(run: FinishedRun, dataset: Dataset) -> None:
    """Raises a ValueError if the labels in a data set differ from those in the run.

    Args:
      run: the finished run.
      dataset: the data set, loaded with the options in the run's config.
    """
    for name, part in (("query", run.query), ("database", run.database)):
        found = dataset.labels[part.indices[part.indices < len(dataset.labels)]]
        if not np.array_equal(found, part.labels):
            raise ValueError(
                f"the data set {dataset.name} has changed since the run in {run.path}: the labels "
                f"of its {name} images do not match those in codes.npz. Restore the data."
            )


def label_ids(label: Num[np.ndarray, " C"] | np.integer) -> list[int]:
    """Returns the class ids in an image's label, in ascending order.

    Examples:
      >>> label_ids(np.int64(3)), label_ids(np.array([0, 1, 1]))
      ([3], [1, 2])
    """
    return np.flatnonzero(label).tolist() if isinstance(label, np.ndarray) else [int(label)]


def _check_spec(path: Path, expected: ModelSpec) -> None:
    """Raises a DamagedFile unless `model.npz` contains the network that the config describes."""
    spec = read_spec(path)
    if spec != expected:
        reason = f"it contains {spec}, but {path / 'config.json'} describes {expected}"
        remedy = "restore the file that belongs to this run, or repeat the run"
        raise DamagedFile(path / MODEL_FILE, "the network of this run", reason, remedy)


def _evaluate_again(
    path: Path, bits: int, query: CodeSet, database: CodeSet, reported: dict[str, Any]
) -> Evaluation:
    with damage_named(path / "codes.npz", "the codes of this run", "restore it from a copy"):
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
    for name, again in dataclasses.asdict(evaluation.mean_average_precision).items():
        if name in _MEASURED and not np.isclose(
            again, reported[name], rtol=0, atol=1e-9, equal_nan=True
        ):
            raise ValueError(
                f"codes.npz and result.json in {path} do not match: the {_MEASURED[name]} computed "
                f"from the codes is {again:.6f}, but the result reports {reported[name]:.6f}. One "
                "of the files was replaced. Repeat the run."
            )
    return evaluation
