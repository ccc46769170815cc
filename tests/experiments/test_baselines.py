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
    names = ["lsh", "itq", "features", "pca"]
    results = evaluate_baselines(*bright, names, bits=[12, 16], cutoff=None, seed=0)
    assert results.keys() == {(name, bits) for name in names for bits in (12, 16)}
    for (name, _), result in results.items():
        # Chance is 1/3. Brightness is a single component, so most bits of PCA are noise.
        assert result.expected > (0.7 if name in ("lsh", "itq") else 0.5), name


@pytest.mark.parametrize("name", ["itq", "features", "pca"])
def test_more_bits_than_features_are_rejected(bright, name):
    with pytest.raises(ValueError, match="fewer bits"):
        evaluate_baselines(*bright, [name], bits=[512], cutoff=None, seed=0)


def test_the_sign_of_the_features_takes_those_of_highest_variance():
    train = np.array([[0, 5, -1, 2], [0, 1, 1, 6]], np.float32)  # variances 0, 4, 1, 4
    (logits,) = BASELINES["features"](train, [train[:1]], bits=3, seed=0)
    np.testing.assert_array_equal(logits, [[2, -2, -1]])


def test_the_sign_of_pca_takes_the_components_in_order_of_their_variance():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    scores = rng.normal(size=(500, 3)).astype(np.float32) * np.float32([1, 30, 5])
    (logits,) = BASELINES["pca"](scores @ axes + 7, [scores @ axes + 7], bits=2, seed=0)
    for column, of in ((0, 1), (1, 2)):
        assert abs(np.corrcoef(logits[:, column], scores[:, of])[0, 1]) > 0.99


def test_a_new_rival_is_one_function_and_one_registration(bright, monkeypatch):
    # A copy, so that the new baseline is not registered after this test.
    copy = dict(BASELINES)
    monkeypatch.setattr("experiments.baselines._registry.BASELINES", copy)
    monkeypatch.setattr("experiments.baselines._evaluate.BASELINES", copy)

    def above_the_mean(train, parts, *, bits, seed):
        return [part[:, :bits] - train.mean(axis=0)[:bits] for part in parts]

    baselines.register("mean", above_the_mean)
    check_baselines(["mean"])
    (result,) = evaluate_baselines(*bright, ["mean"], bits=[24], cutoff=None, seed=0).values()
    assert result.expected > 0.7
    with pytest.raises(ValueError, match="'mean' is already registered"):
        baselines.register("mean", above_the_mean)
    with pytest.raises(ValueError, match="'csq' is already registered"):
        baselines.register("csq", above_the_mean)
    assert "mean" not in BASELINES
