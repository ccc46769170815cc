"""The protocol card: everything you need to know about a MAP before comparing it with another."""

from typing import Any

import numpy as np

from hashnet_jax.distributed.files import sha256
from hashnet_jax.metrics import within_radius
from hashnet_jax.report._finished_run import FinishedRun
from hashnet_jax.report._result_file import RESULT

# The usual Hamming radius in this field. At 48 bits, a lookup probes 1 + 48 + 1,128 hash buckets.
RADIUS = 2

Card = dict[str, dict[str, Any]]


def protocol_card(run: FinishedRun) -> Card:
    """Builds the JSON-serializable protocol card of a run.

    Args:
      run: the run, from :func:`hashnet_jax.report.read_finished_run`.

    Returns:
      A dict with five parts: ``data``, ``retrieval``, ``training``, ``codes`` and ``provenance``.
    """
    return {
        "data": _data(run),
        "retrieval": _retrieval(run),
        "training": _training(run),
        "codes": _codes(run),
        "provenance": _provenance(run),
    }


def _data(run: FinishedRun) -> dict[str, Any]:
    labels = run.database.labels
    return {
        "dataset": run.config["dataset"],
        "classes": labels.shape[1] if run.multi_label else len(np.unique(labels)),
        "multi_label": run.multi_label,
        # Runs from earlier versions do not have this entry.
        "unseen_classes": run.config["data"].get("unseen_classes", 0),
        "sizes": run.result["sizes"],
        "seed": run.config["seed"],
        "split_seed": run.config["data"]["split_seed"],
        "overlaps": run.result["overlaps"],
        "notes": run.result["notes"],
    }


def _retrieval(run: FinishedRun) -> dict[str, Any]:
    radius = min(RADIUS, run.bits)
    ball = within_radius(run.evaluation.counts, radius=radius)
    return {
        **run.result["map"],
        "summary": run.result["summary"],
        "radius": radius,
        "precision_within_radius": ball.precision,
        "recall_within_radius": ball.recall,
        "queries_with_empty_ball": ball.empty_queries,
        # Runs from earlier versions do not have this entry.
        "metrics": run.result.get("metrics", {}),
    }


def _training(run: FinishedRun) -> dict[str, Any]:
    config, end = run.config, run.end
    return {
        "variant": run.result["variant"],
        # Runs from earlier versions do not have these two entries.
        "recipe": run.result.get("recipe", "paper"),
        "learning_rate": run.result.get("learning_rate"),
        "backbone": config["model"]["backbone"],
        # Runs without validation, and from earlier versions, do not have this entry.
        "validation": run.result.get("validation"),
        # Runs from earlier versions have neither entry. They fine-tuned in training mode.
        "frozen": config.get("freeze_backbone", False),
        "backbone_mode": config["train"].get("backbone_mode", "train"),
        "pretrained_sha256": config.get("pretrained_sha256"),
        "image_size": config["model"]["image_size"],
        "augmentation": config["augmentation"],
        "batch_size": config["batch_size"],
        "step": run.result["step"],
        "total_steps": config["train"]["total_steps"],
        **{name: end[name] for name in ("beta", "quantization_gap", "loss", "binary_loss")},
    }


def _codes(run: FinishedRun) -> dict[str, Any]:
    statistics = run.result["codes"]
    imbalance = np.abs(np.asarray(statistics["ones"]) - 0.5)
    return {
        "bits": run.bits,
        **{name: statistics[name] for name in ("codes", "distinct", "constant_bits", "alarms")},
        "mean_imbalance": float(imbalance.mean()),
        "most_imbalanced": float(imbalance.max()),
    }


def _provenance(run: FinishedRun) -> dict[str, Any]:
    return {
        "run": run.name,
        "is_verified": run.is_verified,
        "result_sha256": sha256(run.path / RESULT),
        "model_sha256": sha256(run.path / "model.npz"),
        **{name: run.result[name] for name in ("versions", "devices", "seconds")},
    }
