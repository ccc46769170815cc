"""Writes the files of finished runs without any training, for testing reports."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import hashnet_jax
from hashnet_jax.configs import CONFIGS, Config
from hashnet_jax.data import DATASETS, ArraySource, Dataset, Split
from hashnet_jax.data.overlap import overlaps
from hashnet_jax.metrics import CodeStatistics, MeanAveragePrecision, code_statistics, evaluate
from hashnet_jax.model import HashNetParams
from hashnet_jax.report import bound_result
from hashnet_jax.training import RunFolder

BITS = 16
MULTI_LABEL_CLASSES = ("person", "traffic light", "dog", "<b>bold & brave</b>", "potted plant")


def make_run(
    path: Path, *, multi_label: bool = False, collapsed: bool = False
) -> tuple[Dataset, HashNetParams]:
    """Writes the folder of a finished run with made-up codes.

    The codes are noisy copies of a random prototype for each class.

    Args:
      path: path of the folder, which must not exist.
      multi_label: whether to use named pictures of 120 x 80 pixels with several labels each,
        instead of scikit-learn's digits.
      collapsed: whether all codes are equal.

    Returns:
      The data set and the network, as ``write_report`` takes them.
    """
    rng = np.random.default_rng(0)
    config = dataclasses.replace(
        CONFIGS["digits"], model=dataclasses.replace(CONFIGS["digits"].model, bits=BITS)
    )
    dataset = pictures(rng) if multi_label else DATASETS["digits"](config.data)
    split = dataset.split
    query = _codes(rng, dataset, split.query, collapsed)
    database = _codes(rng, dataset, split.database, collapsed)
    labels = dataset.labels[split.query], dataset.labels[split.database]
    mean, _ = evaluate(query, database, *labels, bits=BITS, cutoff=config.cutoff)
    statistics = code_statistics(database, bits=BITS, classes=len(dataset.classes))
    params = hashnet_jax.init(jax.random.key(0), config.model)
    arrays = {
        "query_codes": query,
        "database_codes": database,
        "query_labels": labels[0],
        "database_labels": labels[1],
        "query_indices": split.query,
        "database_indices": split.database,
        "bits": BITS,
    }
    with RunFolder(path) as folder:
        folder.write_json("config.json", config.to_json() | {"dataset": dataset.name})
        folder.write_arrays("codes.npz", arrays)
        (folder.path / "metrics.jsonl").write_text("".join(_history(config.train.total_steps)))
        hashnet_jax.save(folder.path, params)
        result = _result(config, dataset, mean, statistics)
        folder.write_json("result.json", bound_result(result, folder.path))
    return dataset, params


def pictures(rng: np.random.Generator) -> Dataset:
    """Returns 80 noisy pictures of 120 x 80 pixels, each with some of five labels."""
    labels = (rng.random((80, 5)) < 0.3).astype(np.int64)
    images = rng.integers(0, 90, (80, 80, 120, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        for class_id in np.flatnonzero(label):
            image[:, 24 * class_id : 24 * class_id + 20, class_id % 3] += 160
    return Dataset(
        "folder",
        ArraySource(images),
        labels,
        MULTI_LABEL_CLASSES,
        Split(train=range(20, 60), query=range(20), database=range(20, 80)),
        notes=("made for a test.",),
        names=tuple(f"holiday & work/IMG_{number:04}_small.jpg" for number in range(80)),
    )


def _codes(
    rng: np.random.Generator, dataset: Dataset, indices: np.ndarray, collapsed: bool
) -> np.ndarray:
    """Returns codes that combine the prototypes of each image's classes, with 1/8 of bits wrong."""
    labels = dataset.labels[indices]
    hot = labels if labels.ndim == 2 else np.eye(len(dataset.classes))[labels]
    prototypes = np.random.default_rng(1).choice([-1, 1], (len(dataset.classes), BITS))
    wrong = rng.random((len(hot), BITS)) < 0.125
    bits = np.zeros(wrong.shape, bool) if collapsed else (hot @ prototypes >= 0) ^ wrong
    return np.packbits(bits, axis=1)


def _result(
    config: Config, dataset: Dataset, mean: MeanAveragePrecision, statistics: CodeStatistics
) -> dict[str, Any]:
    """Returns the content of `result.json`."""
    return {
        "summary": str(mean),
        "map": dataclasses.asdict(mean),
        "codes": dataclasses.asdict(statistics) | {"ones": np.asarray(statistics.ones).tolist()},
        "step": config.train.total_steps,
        "sizes": dataset.split.sizes(),
        "overlaps": overlaps(dataset, by_content=dataset.name == "digits"),
        "notes": dataset.notes,
        "variant": config.variant,
        "recipe": config.recipe,
        "learning_rate": f"{config.train.learning_rate:g}",
        "devices": "1 x cpu",
        "seconds": 12.5,
        "versions": {"hashnet_jax": hashnet_jax.__version__, "jax": jax.__version__},
    }


def _history(total_steps: int) -> Iterator[str]:
    """Yields the lines of `metrics.jsonl`."""
    for step in range(10, total_steps + 1, 10):
        done = step / total_steps
        line = {
            "step": step,
            "beta": (1 + 50 * done) ** 0.5,
            "binary_loss": 0.3 + 1.7 * np.exp(-8 * done),
            "gradient_norm": 0.1,
            "loss": 0.28 + 0.4 * np.exp(-6 * done),
            "quantization_gap": 0.95 - 0.65 * done,
            "similar_share": 0.1,
        }
        yield json.dumps(line) + "\n"
        if step % 100 == 0:
            yield json.dumps({"step": step, "validation_map": 0.5 + 0.4 * done}) + "\n"
