"""Finished runs made for tests of the report: their files without their training."""

import dataclasses
import json

import jax
import numpy as np
from presets import DIGITS

import hashnet_jax
from hashnet_jax.code_statistics import code_statistics
from hashnet_jax.data.dataset import Dataset
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.data.overlap import overlaps
from hashnet_jax.data.protocols import Split
from hashnet_jax.data.sources import ArraySource
from hashnet_jax.metrics import evaluate
from hashnet_jax.run_folder import RunFolder

BITS = 16


def make_run(path, *, multi_label=False, collapsed=False):
    """Writes the folder of a finished run with made-up codes: of their class, with errors.

    Args:
      path: a new folder.
      multi_label: pictures of 120 x 80 with several labels each, else scikit-learn's digits.
      collapsed: whether all codes are the same.

    Returns:
      ``(dataset, params)``, as ``write_report`` takes them.
    """
    rng = np.random.default_rng(0)
    config = dataclasses.replace(DIGITS, model=dataclasses.replace(DIGITS.model, bits=BITS))
    dataset = pictures(rng) if multi_label else DATASETS["digits"](config.data)
    codes = {name: _codes(rng, dataset, name, collapsed) for name in ("query", "database")}
    labels = {name: dataset.labels[getattr(dataset.split, name)] for name in codes}
    mean, _ = evaluate(*codes.values(), *labels.values(), bits=BITS, cutoff=config.cutoff)
    statistics = code_statistics(codes["database"], bits=BITS, classes=len(dataset.classes))
    params = hashnet_jax.init(jax.random.key(0), config.model)
    with RunFolder(path) as folder:
        folder.write_json("config.json", config.to_json() | {"dataset": dataset.name})
        folder.write_arrays("split.npz", **dataclasses.asdict(dataset.split))
        (folder.path / "metrics.jsonl").write_text("".join(_history(config.train.total_steps)))
        hashnet_jax.save(folder.path, params)
        folder.write_arrays(
            "codes.npz",
            **{f"{name}_codes": packed for name, packed in codes.items()},
            **{f"{name}_labels": of for name, of in labels.items()},
            **{f"{name}_indices": getattr(dataset.split, name) for name in codes},
            bits=BITS,
        )
        folder.write_json(
            "result.json",
            {
                "summary": str(mean),
                "map": dataclasses.asdict(mean),
                "codes": dataclasses.asdict(statistics) | {"ones": statistics.ones.tolist()},
                "step": config.train.total_steps,
                "sizes": dataset.split.sizes(),
                "overlaps": overlaps(dataset, by_content=not multi_label),
                "notes": dataset.notes,
                "variant": config.variant,
                "devices": "1 x cpu",
                "seconds": 12.5,
                "versions": {"hashnet_jax": hashnet_jax.__version__, "jax": jax.__version__},
            },
        )
    return dataset, params


def pictures(rng):
    """80 noisy pictures of 120 x 80 pixels with none to three of five labels."""
    labels = (rng.random((80, 5)) < 0.3).astype(np.int64)
    images = rng.integers(0, 90, (80, 80, 120, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        for class_id in np.flatnonzero(label):
            image[:, 24 * class_id : 24 * class_id + 20, class_id % 3] += 160
    classes = ("person", "traffic light", "dog", "<b>bold & brave</b>", "potted plant")
    split = Split(train=range(20, 60), query=range(20), database=range(20, 80))
    notes = ("made for a test.",)
    return Dataset("pictures", ArraySource(images), labels, classes, split, notes)


def _codes(rng, dataset, name, collapsed):
    """The sum of the prototypes of an image's classes, with a bit in eight wrong."""
    labels = dataset.labels[getattr(dataset.split, name)]
    hot = labels if labels.ndim == 2 else np.eye(len(dataset.classes))[labels]
    prototypes = np.random.default_rng(1).choice([-1, 1], (len(dataset.classes), BITS))
    wrong = rng.random((len(hot), BITS)) < 0.125
    bits = np.zeros(wrong.shape, bool) if collapsed else (hot @ prototypes >= 0) ^ wrong
    return np.packbits(bits, axis=1)


def _history(total_steps):
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
