"""Tests the recipe for unseen classes in a run with a frozen backbone."""

import json

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.cli import main
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.training import CachedFeatures, FeatureScale, HashLayer, lda_itq_layer
from tests.support.tiny import TINY

UNSEEN = {"unseen_classes": 3, "queries_per_class": 5, "train_per_class": 20}


def trained_with(tmp_path, *args):
    backbone = tmp_path / "backbone"
    backbone.mkdir()
    hashnet_jax.save(backbone, hashnet_jax.init(jax.random.key(0), TINY))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in UNSEEN.items()]
    options = ["--backbone", TINY.backbone, "--bits", "12", "--pretrained", str(backbone)]
    options += ["--image-size", "8", "--freeze-backbone", "--recipe", "unseen", "--no-report"]
    options += ["--batch-size", "16", "--steps", "4", "--run-dir", str(tmp_path / "run")]
    assert main(["train", *options, *flags, *args]) == 0
    return hashnet_jax.load(tmp_path / "run")


@pytest.mark.slow
def test_training_starts_with_discriminant_directions_of_standardized_features(tmp_path):
    """With a learning rate of almost 0, the initial hash layer is what is saved."""
    network = trained_with(tmp_path, "--learning-rate", "1e-12")
    dataset = DATASETS["digits"](Options(**UNSEEN))
    split, labels = dataset.split, dataset.labels
    [file] = (tmp_path / "run").glob("features-*.npy")
    indices = np.unique(np.concatenate([split.train, split.query, split.database]))
    features = CachedFeatures(np.load(file), indices)
    train = features.take(split.train)
    scale = FeatureScale.of(train)
    start = lda_itq_layer(scale.apply(train), labels[split.train], 12, seed=0)
    layer = network.variables["params"]["hash"]
    found = HashLayer(np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
    np.testing.assert_allclose(
        found.logits(features.array), start.logits(scale.apply(features.array)), atol=1e-3
    )
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["train"]["decay_target"] == "initial"
    assert json.loads((tmp_path / "run" / "result.json").read_text())["recipe"] == "unseen"


@pytest.mark.slow
def test_the_learning_rate_is_found_on_held_out_classes(tmp_path, capsys):
    trained_with(tmp_path, "--learning-rate", "auto")
    # 7 classes of 20 images are seen; 2 of them are held out for each seed.
    assert "10 held-out images against 30 others; queries were not used" in capsys.readouterr().out


def test_too_few_classes_to_hold_some_out_are_refused_before_anything_is_written(tmp_path, capsys):
    with pytest.raises(AssertionError):
        trained_with(tmp_path, "--learning-rate", "auto", "--unseen-classes", "7")
    assert "must be at least 4 classes with training images" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
