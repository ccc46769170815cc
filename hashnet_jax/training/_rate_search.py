"""Finds a learning rate for a hash layer on a frozen backbone, without using any queries."""

import dataclasses

import numpy as np

from hashnet_jax.data import Dataset
from hashnet_jax.data.held_out import HeldOut, held_out
from hashnet_jax.data.pipeline import batch_positions, check_batch_size
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.metrics import evaluate
from hashnet_jax.training._feature_cache import CachedFeatures
from hashnet_jax.training._feature_scale import FeatureScale
from hashnet_jax.training._hash_layer import HashLayer
from hashnet_jax.training._initial_layer import initial_layer
from hashnet_jax.training._linear_layer import (
    HashNetLoss,
    rate_unit,
    train_layers,
)
from hashnet_jax.training._spec import TrainSpec

# Learning rates to try for the hash layer, in units of `rate_unit`.
RATES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
# Seeds for the initial layer and the data order. Most runs use other seeds.
SEEDS = (100, 101, 102)


@dataclasses.dataclass(frozen=True)
class RateSearch:
    """The learning rates that were tried, and their MAPs.

    Attributes:
      rates: the values of `learning_rate` that were tried.
      maps: MAP on the held-out images, one row per rate and one column per seed.
      database: number of images in the database, for each seed.
      held_out: number of images used as queries, for each seed.
      cutoff: R in MAP@R; None for MAP@all.

    Examples:
      >>> search = RateSearch((0.1, 0.2), ((0.5, 0.6), (0.7, 0.3)), (9, 9), (3, 3), None)
      >>> search.rate
      0.1
    """

    rates: tuple[float, ...]
    maps: tuple[tuple[float, ...], ...]
    database: tuple[int, ...]
    held_out: tuple[int, ...]
    cutoff: int | None

    @property
    def rate(self) -> float:
        """The rate with the highest mean MAP over the seeds; if several tie, the lowest of them."""
        means = [float(np.mean(row)) for row in self.maps]
        return self.rates[means.index(max(means))]


def search_learning_rate(
    features: CachedFeatures,
    dataset: Dataset,
    *,
    bits: int,
    spec: TrainSpec,
    batch_size: int,
    cutoff: int | None = None,
) -> RateSearch:
    """Tries several learning rates, with several seeds each, for a hash layer on cached features.

    The rates are multiples of 1 / (mean squared norm of the hash layer's inputs), so they suit any
    network. They are compared on the images from :func:`hashnet_jax.data.held_out.held_out`.

    Args:
      features: features of all images in the split.
      dataset: the data set with its split.
      bits: K, the number of bits per code.
      spec: the training hyperparameters; `learning_rate` is not used.
      batch_size: number of images per batch.
      cutoff: R in MAP@R; None for MAP@all.

    Returns:
      :class:`RateSearch`.

    Raises:
      ValueError: if there are too few training images.
    """
    unit = rate_unit(features.take(dataset.split.train), standardize=spec.standardize)
    rates = unit * np.array(RATES)
    columns, database, queries = [], [], []
    with Progress(len(SEEDS), "trying learning rates", "seed") as progress:
        for seed in SEEDS:
            parts = held_out(dataset.labels, dataset.split, seed=seed)
            check_batch_size(batch_size, n_train=len(parts.train))
            raw = features.take(parts.train)
            scale = FeatureScale.of(raw) if spec.standardize else None
            labels = dataset.labels[parts.train]
            inputs = raw if scale is None else scale.apply(raw)
            layers = train_layers(
                HashNetLoss(spec),
                initial_layer(inputs, labels, bits, spec=spec, seed=seed),
                (),
                (),
                inputs,
                labels,
                _order(seed, len(inputs), batch_size, spec.total_steps),
                spec=spec,
                rates=rates.astype(np.float32),
            )
            scaled = dataclasses.replace(features, scale=scale)
            columns.append(_maps(layers, scaled, dataset, parts, bits, cutoff))
            database.append(len(parts.database))
            queries.append(len(parts.query))
            progress.update()
    return RateSearch(
        rates=tuple(float(f"{rate / spec.hash_multiplier:.3g}") for rate in rates),
        maps=tuple(zip(*columns, strict=True)),
        database=tuple(database),
        held_out=tuple(queries),
        cutoff=cutoff,
    )


def _order(seed: int, n: int, batch_size: int, steps: int) -> np.ndarray:
    return np.stack([batch_positions(seed, t, n=n, batch_size=batch_size) for t in range(steps)])


def _maps(
    layers: HashLayer,
    features: CachedFeatures,
    dataset: Dataset,
    parts: HeldOut,
    bits: int,
    cutoff: int | None,
) -> list[float]:
    """Returns the MAP of each layer, or 0 for layers whose training diverged."""
    queries, database = features.take(parts.query), features.take(parts.database)
    maps = []
    for layer in map(HashLayer, layers.kernel, layers.bias):
        query, searched = layer.logits(queries), layer.logits(database)
        if not (np.isfinite(query).all() and np.isfinite(searched).all()):
            maps.append(0.0)
            continue
        found = evaluate(
            np.packbits(query >= 0, axis=1),
            np.packbits(searched >= 0, axis=1),
            dataset.labels[parts.query],
            dataset.labels[parts.database],
            bits=bits,
            cutoff=cutoff,
        )
        maps.append(float(found.mean_average_precision.expected))
    return maps
