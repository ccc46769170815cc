"""Evaluates baselines in the same way as runs."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from experiments.baselines._registry import BASELINES
from hashnet_jax.data import Dataset
from hashnet_jax.metrics import MeanAveragePrecision, evaluate
from hashnet_jax.training import CachedFeatures


def evaluate_baselines(
    features: CachedFeatures,
    dataset: Dataset,
    names: Iterable[str],
    *,
    bits: Sequence[int],
    cutoff: int | None,
    seed: int,
) -> dict[tuple[str, int], MeanAveragePrecision]:
    """Evaluates baselines on the split of a run.

    Args:
      features: features of all images in the split.
      dataset: the run's data set.
      names: names of the baselines, keys of ``BASELINES``.
      bits: code lengths K to evaluate.
      cutoff: R in MAP@R, or None for the whole database.
      seed: seed for the baselines' random choices.

    Returns:
      The MAP for each (name, bits).

    Raises:
      ModuleNotFoundError: if a library that a baseline needs is not installed.
      ValueError: if a baseline does not support a code length.
    """
    split = dataset.split
    train = features.take(split.train)
    parts = (features.take(split.query), features.take(split.database))
    labels = dataset.labels[split.query], dataset.labels[split.database]
    results = {}
    for name in names:
        for k in bits:
            query, database = map(packed, BASELINES[name](train, parts, bits=k, seed=seed))
            evaluation = evaluate(query, database, *labels, bits=k, cutoff=cutoff)
            results[name, k] = evaluation.mean_average_precision
    return results


def packed(logits: Float[np.ndarray, "N K"]) -> UInt8[np.ndarray, "N bytes"]:
    """Returns the packed codes sgn(z), in the format of :func:`hashnet_jax.pack_bits`."""
    return np.packbits(logits >= 0, axis=1)


def check_baselines(names: Iterable[str]) -> None:
    """Runs baselines on a few random features, so that errors surface before hours of training.

    Args:
      names: names of the baselines, keys of ``BASELINES``.

    Raises:
      ModuleNotFoundError: if a library that a baseline needs is not installed.
    """
    features = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    for name in names:
        BASELINES[name](features, (features,), bits=4, seed=0)
