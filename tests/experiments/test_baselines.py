"""Tests for the shallow baselines, and for registering a new one."""

import jax
import numpy as np
import pytest

import hashnet_jax
from experiments import baselines
from experiments.baselines import BASELINES, check_baselines, evaluate_baselines
from hashnet_jax.data import ArraySource, Dataset, per_class_split
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.training import load_or_compute_features


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Features and a data set whose classes differ in brightness, which is easy to recognize."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = np.clip(rng.normal(60 + 70 * labels[:, None, None, None], 8, (120, 8, 8, 3)), 0, 255)
    split = per_class_split(labels, queries=5, train=30)
    dataset = Dataset("tiny", ArraySource(images.astype(np.uint8)), labels, ("a", "b", "c"), split)
    spec = hashnet_jax.ModelSpec("small_cnn", image_size=8, resize=8)
    params = hashnet_jax.init(jax.random.key(0), spec)
    folder = tmp_path_factory.mktemp("features")
    return load_or_compute_features(folder, params, dataset, devices=local_devices(1)), dataset


def test_baselines_find_classes_that_features_tell_apart(bright):
    pytest.importorskip("faiss")
    results = evaluate_baselines(*bright, ["lsh", "itq"], bits=[12, 16], cutoff=None, seed=0)
    assert results.keys() == {("lsh", 12), ("lsh", 16), ("itq", 12), ("itq", 16)}
    assert all(result.expected > 0.7 for result in results.values())


def test_itq_rejects_more_bits_than_features(bright):
    with pytest.raises(ValueError, match="fewer bits"):
        evaluate_baselines(*bright, ["itq"], bits=[512], cutoff=None, seed=0)


def test_a_new_rival_is_one_function_and_one_registration(bright, monkeypatch):
    # A copy, so that the new baseline is not registered after this test.
    copy = dict(BASELINES)
    monkeypatch.setattr("experiments.baselines._registry.BASELINES", copy)
    monkeypatch.setattr("experiments.baselines._evaluate.BASELINES", copy)

    def above_the_mean(train, parts, *, bits, seed):
        return [np.packbits(part[:, :bits] > train.mean(axis=0)[:bits], axis=1) for part in parts]

    baselines.register("mean", above_the_mean)
    check_baselines(["mean"])
    (result,) = evaluate_baselines(*bright, ["mean"], bits=[24], cutoff=None, seed=0).values()
    assert result.expected > 0.7
    with pytest.raises(ValueError, match="'mean' is already registered"):
        baselines.register("mean", above_the_mean)
    assert "mean" not in BASELINES
