"""Finds the learning rate of a hash layer on a frozen backbone, without looking at a query."""

import dataclasses

import numpy as np
from jaxtyping import Float

from hashnet_jax.data import Dataset
from hashnet_jax.data.held_out import HeldOut, held_out
from hashnet_jax.data.pipeline import batch_positions, check_batch_size
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.metrics import evaluate
from hashnet_jax.training._feature_cache import CachedFeatures
from hashnet_jax.training._feature_scale import FeatureScale
from hashnet_jax.training._linear_layer import (
    HashLayer,
    HashNetLoss,
    initial_layer,
    rate_unit,
    train_layers,
)
from hashnet_jax.training._spec import TrainSpec

# Learning rates of the hash layer that are tried, in units of `rate_unit`.
RATES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
# Seeds of the initial layer and of the data order. They differ from those of most runs.
SEEDS = (100, 101, 102)


@dataclasses.dataclass(frozen=True)
class RateSearch:
    """What was tried, and what it gave.

    Attributes:
      rates: the values of `learning_rate` that were tried.
      maps: MAP on the held-out images, one row per rate and one column per seed.
      train: number of images trained on and searched.
      held_out: number of images that searched them.
      cutoff: R in MAP@R; None for all images.

    Examples:
      >>> search = RateSearch((0.1, 0.2), ((0.5, 0.6), (0.7, 0.3)), 9, 3, None)
      >>> search.rate
      0.1
    """

    rates: tuple[float, ...]
    maps: tuple[tuple[float, ...], ...]
    train: int
    held_out: int
    cutoff: int | None

    @property
    def rate(self) -> float:
        """The rate with the highest mean MAP, the lowest if there are several."""
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
    """Tries learning rates for a hash layer on cached features, each with several seeds.

    The rates lie on a grid around 1 / mean squared norm of the features, so that the grid fits any
    network. They are compared on the images from :func:`hashnet_jax.data.held_out.held_out`.

    Args:
      features: features of all images in the split.
      dataset: the data set with its split.
      bits: K, the number of bits per code.
      spec: the training hyperparameters; `learning_rate` is not used.
      batch_size: images per batch.
      cutoff: R in MAP@R; None for all images.

    Returns:
      :class:`RateSearch`.

    Raises:
      ValueError: if there are too few training images.
    """
    parts = held_out(dataset.labels, dataset.split)
    check_batch_size(batch_size, n_train=len(parts.train))
    raw = features.take(parts.train)
    unit = rate_unit(raw, standardize=spec.standardize)
    rates = unit * np.array(RATES)
    scale = FeatureScale.of(raw) if spec.standardize else None
    inputs, queries = (
        part if scale is None else scale.apply(part) for part in (raw, features.take(parts.query))
    )
    columns = []
    with Progress(len(SEEDS), "trying learning rates", "seed") as progress:
        for seed in SEEDS:
            layers = train_layers(
                HashNetLoss(spec),
                initial_layer(seed, raw.shape[1], bits),
                (),
                (),
                inputs,
                dataset.labels[parts.train],
                _order(seed, len(inputs), batch_size, spec.total_steps),
                spec=spec,
                rates=rates.astype(np.float32),
            )
            columns.append(_maps(layers, inputs, queries, dataset, parts, bits, cutoff))
            progress.update()
    return RateSearch(
        rates=tuple(float(f"{rate / spec.hash_multiplier:.3g}") for rate in rates),
        maps=tuple(zip(*columns, strict=True)),
        train=len(parts.train),
        held_out=len(parts.query),
        cutoff=cutoff,
    )


def _order(seed: int, n: int, batch_size: int, steps: int) -> np.ndarray:
    return np.stack([batch_positions(seed, t, n=n, batch_size=batch_size) for t in range(steps)])


def _maps(
    layers: HashLayer,
    database: Float[np.ndarray, "N D"],
    queries: Float[np.ndarray, "Q D"],
    dataset: Dataset,
    parts: HeldOut,
    bits: int,
    cutoff: int | None,
) -> list[float]:
    """Returns the MAP of each layer; 0 if its training diverged."""
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
            dataset.labels[parts.train],
            bits=bits,
            cutoff=cutoff,
        )
        maps.append(float(found.mean_average_precision.expected))
    return maps
