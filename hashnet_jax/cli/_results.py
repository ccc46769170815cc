"""Writes a run's codes, evaluation and report."""

import dataclasses
import platform
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int, UInt8

import hashnet_jax
from hashnet_jax.cli._rate import described_rate
from hashnet_jax.cli._run import Run, describe_devices
from hashnet_jax.cli._validation import validation_cutoff, validation_record
from hashnet_jax.data import Dataset
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.metrics import (
    CodeStatistics,
    Evaluation,
    code_statistics,
    evaluate,
    evaluate_registered,
)
from hashnet_jax.model import HashNetParams
from hashnet_jax.report import bound_result
from hashnet_jax.training import encode_dataset, encode_features

PackedCodes = UInt8[np.ndarray, "_ bytes"]


def validator(run: Run) -> Callable[[HashNetParams], float] | None:
    """Returns a function ``params -> MAP@R``, or None if validation is disabled.

    The validation images are the queries, and the training images are the database. R is the
    cut-off of the run; if there are fewer than R training images, all of them are ranked.
    """
    if not run.config.validate_every:
        return None
    dataset, split, cutoff = run.dataset, run.dataset.split, validation_cutoff(run)

    def validate(params: HashNetParams) -> float:
        result = evaluate(
            encode(run, params, split.validation),
            encode(run, params, split.train),
            dataset.labels[split.validation],
            dataset.labels[split.train],
            bits=run.config.model.bits,
            cutoff=cutoff,
        )
        return float(result.mean_average_precision.expected)

    return validate


def encode(
    run: Run, params: HashNetParams, indices: Int[np.ndarray, " N"], what: str | None = None
) -> PackedCodes:
    """Encodes the images at ``indices`` into packed codes.

    Args:
      run: the run in progress.
      params: the network, or only its hash layer if the run has cached features.
      indices: indices of the images in the data set.
      what: label of the progress bar; None for no progress bar.
    """
    if run.features is not None:
        return encode_features(params, run.features, indices)

    def encoded(progress: Progress | None) -> PackedCodes:
        return encode_dataset(
            params,
            run.dataset.source,
            indices,
            devices=run.devices,
            batch_size=run.config.batch_size,
            workers=run.execution.workers,
            progress=progress,
        )

    if what is None:
        return encoded(None)
    with Progress(len(indices), what, "image") as progress:
        return encoded(progress)


def write_result(run: Run, params: HashNetParams, *, step: int, started: float) -> None:
    """Encodes the queries and the database, evaluates the codes, and writes the result.

    Args:
      run: the run in progress.
      params: the trained network, or only its hash layer if the run has cached features.
      step: training step of ``params``.
      started: value of `time.monotonic()` when the run started.
    """
    split, bits = run.dataset.split, run.config.model.bits
    query = encode(run, params, split.query, "encoding queries")
    database = encode(run, params, split.database, "encoding database")
    overlaps = run.folder.read_json("overlaps.json")
    # All processes must call these, because the first one sends the others what it reads.
    more = validation_record(run) | {"learning_rate": described_rate(run)}
    if not processes.is_first():
        return
    labels_q, labels_db = run.dataset.labels[split.query], run.dataset.labels[split.database]
    _write_codes(run, query, database)
    evaluation = evaluate(query, database, labels_q, labels_db, bits=bits, cutoff=run.config.cutoff)
    classes = run.config.data.unseen_classes or len(run.dataset.classes)
    statistics = code_statistics(database, bits=bits, classes=classes)
    content = _result(run, evaluation, statistics, step=step, overlaps=overlaps)
    seconds = time.monotonic() - started
    content |= more | {"seconds": round(seconds, 1)} | _versions()
    # Written last, because it contains the hashes of the other files.
    run.folder.write_json("result.json", bound_result(content, run.folder.path))
    print(statistics)
    print(
        f"{run.config.dataset}, {bits} bits, {len(split.query):,} queries against "
        f"{len(split.database):,} database images: {evaluation.mean_average_precision}"
    )
    print(f"finished in {seconds:.0f} s; results are in {run.folder.path}")


def _write_codes(run: Run, query: PackedCodes, database: PackedCodes) -> None:
    """Writes `codes.npz`."""
    split, labels = run.dataset.split, run.dataset.labels
    arrays = {
        "query_codes": query,
        "database_codes": database,
        "query_labels": labels[split.query],
        "database_labels": labels[split.database],
        "query_indices": split.query,
        "database_indices": split.database,
        "bits": run.config.model.bits,
    }
    run.folder.write_arrays("codes.npz", arrays)


def _result(
    run: Run, evaluation: Evaluation, statistics: CodeStatistics, *, step: int, overlaps: Any
) -> dict[str, Any]:
    """Returns the contents of `result.json`, except the entries that :func:`write_result` adds."""
    mean = evaluation.mean_average_precision
    return {
        "summary": str(mean),
        "convention": mean.convention,
        "map": dataclasses.asdict(mean),
        "metrics": evaluate_registered(evaluation.counts),
        "codes": dataclasses.asdict(statistics) | {"ones": statistics.ones.tolist()},
        "step": step,
        "sizes": run.dataset.split.sizes(),
        "overlaps": overlaps,
        "notes": run.dataset.notes,
        "variant": run.config.variant,
        "recipe": run.config.recipe,
        "devices": describe_devices(run.devices),
    }


def _versions() -> dict[str, Any]:
    versions = {
        "hashnet_jax": hashnet_jax.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return {"versions": versions}


def add_report(path: Path, dataset: Dataset, params: HashNetParams) -> None:
    """Writes `report.html`. Errors are printed but not raised, since the run itself succeeded."""
    try:
        # Imported here because it needs matplotlib and scikit-learn, which training does not.
        from hashnet_jax.report import write_report

        print(f"report: {printable(write_report(path, dataset, params))}")
    except Exception as error:
        print(
            "the result was saved, but the report could not be written "
            f"({type(error).__name__}: {printable(str(error))}). Fix the problem, then run "
            f"`hashnet report {shlex.quote(str(path))}`.",
            file=sys.stderr,
        )
