"""HashTransformer keeps scikit-learn's conventions, and its codes retrieve by class."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hashnet_jax import pack_bits
from hashnet_jax.metrics import evaluate
from hashnet_jax.training.scikit_learn import HashTransformer

ROOT = Path(__file__).parents[2]
FEATURES, LABELS = load_digits(return_X_y=True)
SHORT = {"bits": 16, "total_steps": 100, "random_state": 0}


@pytest.mark.slow
def test_it_passes_all_of_scikit_learns_checks_without_exceptions():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.estimator_checks"],
        cwd=ROOT,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(checks) > 40
    assert [check for check in checks if check["status"] != "passed"] == []


def mean_average_precision(codes, found_in, labels, found_labels):
    packed = (np.asarray(pack_bits(part)) for part in (codes, found_in))
    found = evaluate(*packed, labels, found_labels, bits=codes.shape[1])
    return found.mean_average_precision.expected


def test_codes_retrieve_digits_that_were_not_trained_on_by_their_class():
    parts = train_test_split(FEATURES, LABELS, test_size=0.2, random_state=0)
    train, held_out, train_labels, labels = parts
    hasher = HashTransformer(**SHORT).fit(train, train_labels)
    learned = [hasher.transform(part) for part in (held_out, train)]
    random = np.random.default_rng(0).normal(size=(64, 16))
    projected = [
        np.where((part - train.mean(0)) @ random >= 0, 1, -1) for part in (held_out, train)
    ]
    assert mean_average_precision(*learned, labels, train_labels) > 0.8
    assert mean_average_precision(*projected, labels, train_labels) < 0.5


def test_the_codes_are_signs_named_by_bit_and_depend_only_on_the_data_and_the_seed():
    hasher = HashTransformer(**SHORT)
    codes = hasher.fit_transform(FEATURES, LABELS)
    assert codes.dtype == np.int8
    assert set(np.unique(codes)) == {-1, 1}
    assert list(hasher.get_feature_names_out()) == [f"hashtransformer{i}" for i in range(16)]
    named = clone(hasher).fit(FEATURES, np.array(list("abcdefghij"))[LABELS])
    np.testing.assert_array_equal(named.transform(FEATURES), codes)
    other = clone(hasher).set_params(random_state=1).fit(FEATURES, LABELS)
    assert (other.transform(FEATURES) != codes).any()


@pytest.mark.parametrize("standardize", [True, False])
def test_the_layer_takes_the_original_features(standardize):
    hasher = HashTransformer(**SHORT, standardize=standardize).fit(FEATURES, LABELS)
    logits = FEATURES @ hasher.kernel_ + hasher.bias_[None]
    clear = np.abs(logits) > 1e-3
    assert clear.mean() > 0.99
    codes = hasher.transform(FEATURES)
    np.testing.assert_array_equal(codes[clear], np.where(logits >= 0, 1, -1)[clear])


def test_samples_with_multi_hot_labels_are_similar_if_they_share_one():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(4, 10))
    labels = (
        np.eye(4, dtype=int)[rng.integers(0, 4, 200)]
        | np.eye(4, dtype=int)[rng.integers(0, 4, 200)]
    )
    features = labels @ shapes + 0.1 * rng.normal(size=(200, 10))
    codes = HashTransformer(**SHORT).fit_transform(features, labels).astype(int)
    cosine, shares = codes @ codes.T / 16, labels @ labels.T > 0
    assert cosine[shares].mean() > cosine[~shares].mean() + 0.5


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("params", "labels", "message"),
    [
        ({"bits": 0}, LABELS, "`bits` must be >= 1, got 0"),
        ({"total_steps": 0}, LABELS, "`total_steps` must be an integer >= 1, got 0"),
        ({"batch_size": 1}, LABELS, "`batch_size` must be in 2..1797"),
        ({}, np.zeros(len(LABELS), int), "at least two classes, got 1 class, \\[0\\]"),
        ({}, LABELS + 0.5, "Unknown label type: continuous"),
        ({}, None, "requires y to be passed"),
    ],
)
def test_unusable_parameters_and_labels_are_named(params, labels, message):
    with pytest.raises(ValueError, match=message):
        HashTransformer(**params).fit(FEATURES, labels)


def test_a_learning_rate_that_diverges_is_named():
    hasher = HashTransformer(**SHORT, learning_rate=1e30, weight_decay=1e9)
    with pytest.raises(FloatingPointError, match=r"learning_rate=1e\+30. Lower `learning_rate`"):
        hasher.fit(FEATURES, LABELS)


def test_the_room_does_not_import_scikit_learn():
    script = "import sys, hashnet_jax; hashnet_jax.training.fit; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
