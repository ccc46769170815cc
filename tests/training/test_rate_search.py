"""Tests for the search of a learning rate on cached features."""

import dataclasses

import numpy as np
import pytest

from hashnet_jax.data import ArraySource, Dataset, Split
from hashnet_jax.data.held_out import held_out as _held_out
from hashnet_jax.training import (
    CachedFeatures,
    HashNetLoss,
    TrainSpec,
    _rate_search,
    initial_layer,
    optimizer,
    search_learning_rate,
    train_layers,
)

N, D, BITS = 96, 6, 8
SPEC = TrainSpec(total_steps=20, learning_rate=None, backbone_mode="inference", alpha=0.3)
SEARCH = {"bits": BITS, "batch_size": 12}


def made(seed=0):
    """Three classes in different directions; the first 24 images are queries."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % 3
    array = (np.eye(3)[labels] @ rng.normal(size=(3, D)) + 0.6 * rng.normal(size=(N, D))).astype(
        np.float32
    )
    split = Split(train=np.arange(24, N), query=np.arange(24), database=np.arange(24, N))
    source = ArraySource(np.zeros((N, 2, 2, 3), np.uint8))
    dataset = Dataset("made", source, labels, ("a", "b", "c"), split)
    return CachedFeatures(array, np.arange(N)), dataset


@pytest.fixture(scope="module")
def search():
    return search_learning_rate(*made(), spec=SPEC, **SEARCH)


@pytest.mark.slow
def test_the_rate_with_the_best_mean_over_all_seeds_is_chosen(search):
    assert np.shape(search.maps) == (len(_rate_search.RATES), len(_rate_search.SEEDS))
    means = np.mean(search.maps, axis=1)
    assert search.rate == search.rates[int(np.argmax(means))]
    assert means.max() > means.min()
    assert (search.database, search.held_out) == ((54,) * 3, (18,) * 3)


def test_the_queries_do_not_influence_the_search(search):
    features, dataset = made()
    array = features.array.copy()
    array[:24] = 1e3
    assert search_learning_rate(
        CachedFeatures(array, np.arange(N)), dataset, spec=SPEC, **SEARCH
    ) == (search)


def test_the_rates_fit_features_of_any_scale(search):
    features, dataset = made()
    large = CachedFeatures(10 * features.array, features.indices)
    found = search_learning_rate(large, dataset, spec=SPEC, **SEARCH)
    np.testing.assert_allclose(found.rates, np.array(search.rates) / 100, rtol=0.01)


def test_standardized_features_give_the_same_search_at_any_scale_and_offset():
    features, dataset = made()
    spec = dataclasses.replace(SPEC, standardize=True)
    other = CachedFeatures(3 * features.array + 5, features.indices)
    plain, moved = (
        search_learning_rate(each, dataset, spec=spec, **SEARCH) for each in (features, other)
    )
    assert plain.rates == moved.rates
    np.testing.assert_allclose(plain.maps, moved.maps, atol=0.02)


def test_several_rates_side_by_side_train_the_same_layers_as_one_after_another():
    features, dataset = made()
    order = np.random.default_rng(0).integers(0, N, (10, 12))
    fixed = (
        HashNetLoss(SPEC),
        initial_layer(features.array, dataset.labels, BITS, spec=SPEC, seed=0),
        (),
        (),
        features.array,
        dataset.labels,
        order,
    )
    rates = np.array([0.05, 0.5], np.float32)
    together = train_layers(*fixed, spec=SPEC, rates=rates)
    for i in range(2):
        alone = train_layers(*fixed, spec=SPEC, rates=rates[i : i + 1])
        np.testing.assert_allclose(together.kernel[i], alone.kernel[0], atol=1e-5)
        np.testing.assert_allclose(together.bias[i], alone.bias[0], atol=1e-5)
    assert np.abs(together.kernel[0] - together.kernel[1]).max() > 0.01


def test_each_seed_holds_out_its_own_images(monkeypatch):
    seeds = []

    def held_out(labels, split, *, seed):
        seeds.append(seed)
        return _held_out(labels, split, seed=seed)

    monkeypatch.setattr(_rate_search, "held_out", held_out)
    search_learning_rate(*made(), spec=SPEC, **SEARCH)
    assert seeds == list(_rate_search.SEEDS)


def test_a_rate_whose_training_diverges_is_never_chosen(monkeypatch):
    monkeypatch.setattr(_rate_search, "RATES", (8.0, 1e30))
    found = search_learning_rate(*made(), spec=SPEC, **SEARCH)
    assert np.mean(found.maps[1]) == 0
    assert found.rate == found.rates[0]


def test_training_requires_a_rate():
    with pytest.raises(ValueError, match="`learning_rate` must be a number for training, got None"):
        optimizer(SPEC)
