"""Tests for the initial hash layer, and for weight decay towards it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hashnet_jax.training import TrainSpec, initial_layer, lda_itq_layer, optimizer
from hashnet_jax.training._initial_layer import SHRINKAGE, _rotation, _within_class_scatter

N, D, BITS = 200, 10, 4


def features(seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(N, D)) * np.arange(1, D + 1) + 3).astype(np.float32)


def quantization_error(logits):
    """Mean squared difference between unit-variance logits and their signs."""
    logits = logits / logits.std()
    return float(np.mean((logits - np.where(logits >= 0, 1, -1)) ** 2))


def labels():
    return np.arange(N) % 5


def layer_of(x, y=None, bits=BITS, seed=0):
    return lda_itq_layer(x, labels() if y is None else y, bits, seed=seed)


def test_the_directions_maximize_total_relative_to_shrunk_within_class_scatter():
    x, y = features(), labels()
    layer = layer_of(x)
    centred = x - x.mean(0)
    within = sum(np.cov(x[y == c].T, bias=True) * np.sum(y == c) for c in range(5))
    within = within * D / np.trace(within) + SHRINKAGE * np.eye(D)
    values, vectors = np.linalg.eig(np.linalg.solve(within, centred.T @ centred))
    expected = np.linalg.qr(vectors[:, np.argsort(-values.real)[:BITS]].real)[0]
    found = np.linalg.qr(np.asarray(layer.kernel))[0]
    assert np.linalg.svd(expected.T @ found)[1].min() > 0.999
    logits = layer.logits(x)
    np.testing.assert_allclose(logits.mean(axis=0), 0, atol=1e-4)
    assert logits.std() == pytest.approx(1.0, rel=1e-3)


def test_a_direction_that_varies_within_classes_counts_less():
    """Of two directions with about the same total scatter, the one that separates classes wins."""
    rng, y = np.random.default_rng(0), labels()
    centres = rng.normal(size=5)[y]
    noise = rng.normal(size=N)
    x = np.stack([centres / centres.std(), noise / noise.std() * 1.1], axis=1).astype(np.float32)
    kernel = np.abs(layer_of(x, bits=1).kernel[:, 0])
    assert kernel[0] > 5 * kernel[1]


def test_multi_hot_labels_give_the_same_layer_as_class_ids():
    x = features()
    several = layer_of(x, np.eye(5, dtype=np.int64)[labels()])
    np.testing.assert_allclose(several.kernel, layer_of(x).kernel, rtol=1e-3, atol=1e-6)


def test_an_image_counts_once_for_each_of_its_classes():
    x = features() - features().mean(0)
    several = np.random.default_rng(0).integers(0, 2, (N, 3))
    expected = np.zeros((D, D))
    for c in range(3):
        own = x[several[:, c] == 1]
        expected += (own - own.mean(0)).T @ (own - own.mean(0))
    np.testing.assert_allclose(_within_class_scatter(x, several), expected, rtol=1e-3)


def test_classes_with_one_image_each_have_no_within_class_scatter():
    assert np.isfinite(layer_of(features(), np.arange(N)).kernel).all()


def test_the_rotation_fits_the_codes_better_with_each_iteration():
    projected = features()[:, :BITS] - features()[:, :BITS].mean(0)
    errors = [quantization_error(projected @ _rotation(projected, 0, n)) for n in (0, 1, 50)]
    assert errors[2] < errors[1] < errors[0]


def test_the_rotation_is_as_good_as_that_of_faiss():
    faiss = pytest.importorskip("faiss")
    x = features() - features().mean(0)
    # faiss normalizes each image first.
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    transform = faiss.ITQTransform(D, BITS, True)
    transform.train(x)
    expected = quantization_error(transform.apply(x))
    centred = x - x.mean(0)
    projected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:BITS].T
    found = min(quantization_error(projected @ _rotation(projected, s)) for s in range(5))
    assert found <= expected + 0.02


def test_the_same_seed_gives_the_same_layer_and_another_seed_another_rotation():
    first, again, other = (layer_of(features(), seed=s).kernel for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


@pytest.mark.parametrize(("number", "bits"), [(N, D + 1), (BITS, BITS)])
def test_more_bits_than_directions_are_refused(number, bits):
    with pytest.raises(ValueError, match="as many features as bits, and more training images"):
        layer_of(features()[:number], labels()[:number], bits)


def test_the_spec_selects_the_initial_layer():
    x = features()
    found = initial_layer(x, labels(), BITS, spec=TrainSpec(hash_init="lda-itq"), seed=3)
    assert np.array_equal(found.kernel, layer_of(x, seed=3).kernel)
    random = initial_layer(x, labels(), BITS, spec=TrainSpec(), seed=3)
    assert np.abs(random.kernel).max() < 0.05
    assert not random.bias.any()


def test_weight_decay_pulls_parameters_towards_their_initial_values():
    spec = TrainSpec(
        learning_rate=0.1, hash_multiplier=1.0, weight_decay=0.5, decay_target="initial"
    )
    start = {"hash": jnp.array([1.0, -2.0])}
    sgd = optimizer(spec)
    state, params = sgd.init(start), start
    gradients = {"hash": jnp.array([0.3, 0.0])}
    expected, momentum = np.array([1.0, -2.0]), np.zeros(2)
    for _ in range(5):
        updates, state = jax.jit(sgd.update)(gradients, state, params)
        params = optax.apply_updates(params, updates)
        gradient = np.array([0.3, 0.0]) + 0.5 * (expected - np.array([1.0, -2.0]))
        momentum = 0.9 * momentum + gradient
        expected = expected - 0.1 * (gradient + 0.9 * momentum)
    np.testing.assert_allclose(params["hash"], expected, rtol=1e-6)
    assert params["hash"][1] == -2.0, "without a gradient, a parameter stays where it began"
