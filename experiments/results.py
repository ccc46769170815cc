"""What comes out of a run: codes, their MAP, and the report."""

import dataclasses
import platform
import sys
import time

import jax
import numpy as np

import hashnet_jax
from hashnet_jax import processes
from hashnet_jax.code_statistics import code_statistics
from hashnet_jax.evaluation import encode_all
from hashnet_jax.features import encode_features
from hashnet_jax.metrics import evaluate
from hashnet_jax.progress import Progress


def describe(devices):
    count = jax.process_count()
    each = f"{len(devices)} x {devices[0].device_kind}"
    return each if count == 1 else f"{count} processes of {each}"


def validator(config, dataset, devices, workers, features=None):
    """``params -> MAP@all`` of the validation images among the training images."""
    if not config.validate_every:
        return None
    split = dataset.split
    if not len(split.validation):
        raise ValueError(
            "--validate-every needs validation images, got none: give --validation-per-class N."
        )

    def validate(params):
        codes = [
            encode(params, config, dataset, indices, devices, workers, features=features)
            for indices in (split.validation, split.train)
        ]
        labels = dataset.labels[split.validation], dataset.labels[split.train]
        result = evaluate(*codes, *labels, bits=config.model.bits)
        return float(result.mean_average_precision.expected)

    return validate


def encode(params, config, dataset, indices, devices, workers, what=None, features=None):
    """Packed codes of the images at ``indices``; ``params`` is a hash layer, given features."""
    if features is not None:
        return encode_features(params, features, indices)
    kwargs = {"devices": devices, "batch_size": config.batch_size, "workers": workers}
    if what is None:
        return encode_all(params, dataset.source, indices, **kwargs)
    with Progress(len(indices), what, "image") as progress:
        return encode_all(params, dataset.source, indices, **kwargs, progress=progress)


def write_result(
    config, dataset, folder, params, step, started, *, devices, workers, features=None
):
    """Encodes queries and database, and writes codes and result."""
    split, bits = dataset.split, config.model.bits
    codes = {
        name: encode(
            params, config, dataset, indices, devices, workers, f"encoding {name}", features
        )
        for name, indices in (("query", split.query), ("database", split.database))
    }
    overlaps = folder.read_json("overlaps.json")
    if not processes.is_first():
        return
    labels = {name: dataset.labels[getattr(split, name)] for name in codes}
    folder.write_arrays(
        "codes.npz",
        **{f"{name}_codes": packed for name, packed in codes.items()},
        **{f"{name}_labels": of for name, of in labels.items()},
        **{f"{name}_indices": getattr(split, name) for name in codes},
        bits=bits,
    )
    evaluation = evaluate(
        codes["query"],
        codes["database"],
        labels["query"],
        labels["database"],
        bits=bits,
        cutoff=config.cutoff,
    )
    mean = evaluation.mean_average_precision
    statistics = code_statistics(codes["database"], bits=bits, classes=len(dataset.classes))
    folder.write_json(
        "result.json",
        {
            "summary": str(mean),
            "convention": mean.convention,
            "map": dataclasses.asdict(mean),
            "codes": dataclasses.asdict(statistics) | {"ones": statistics.ones.tolist()},
            "step": step,
            "sizes": split.sizes(),
            "overlaps": overlaps,
            "notes": dataset.notes,
            "variant": config.variant,
            "devices": describe(devices),
            "seconds": round(time.monotonic() - started, 1),
            "versions": {
                "hashnet_jax": hashnet_jax.__version__,
                "jax": jax.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    )
    print(statistics)
    print(
        f"{config.dataset}, {bits} bits, {len(split.query):,} queries in "
        f"{len(split.database):,} images: {mean}"
    )
    print(f"in {time.monotonic() - started:.0f} s; everything is in {folder.path}")


def add_report(run_dir, dataset, params):
    """Writes `report.html`; where that fails, says so: the run is finished without it."""
    try:
        from report import write_report  # matplotlib and scikit-learn, which no run needs

        print(f"report: {write_report(run_dir, dataset, params)}")
    except Exception as error:
        print(
            f"the result is written, but not its report ({type(error).__name__}: {error}): once "
            f"that is mended, `python experiments/report.py {run_dir}` writes it.",
            file=sys.stderr,
        )
