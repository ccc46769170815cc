"""Tests for the rivals' losses, against loops in NumPy and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.baselines import RIVALS, csq, dhn, dpsh, greedyhash, orthohash
from experiments.baselines._bank import Bank, pairwise_term

B, K, C, N = 5, 8, 3, 9
RNG = np.random.default_rng(0)
U = RNG.normal(size=(B, K)).astype(np.float32)
ONE = np.eye(C, dtype=np.float32)[[0, 1, 2, 1, 0]]
SEVERAL = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [1, 0, 1]], np.float32)
INDICES = np.array([7, 0, 4, 2, 5])
BANK = Bank(
    RNG.normal(size=(N, K)).astype(np.float32), np.eye(C, dtype=np.float32)[np.arange(N) % C]
)
KEY = jax.random.key(0)


def value_and_gradient(loss, weights, labels, state, **settings):
    """Returns the loss, its gradient with respect to the outputs, and the new state."""

    def of(outputs):
        return loss(weights, outputs, labels, jnp.asarray(INDICES), state, 0, **settings)

    (value, state), gradient = jax.value_and_grad(of, has_aux=True)(jnp.asarray(U))
    return float(value), np.asarray(gradient), state


def finite_differences(function, outputs):
    """Returns the gradient of a NumPy function by central differences."""
    gradient = np.zeros_like(outputs, dtype=np.float64)
    for place in np.ndindex(*outputs.shape):
        shift = np.zeros_like(gradient)
        shift[place] = 1e-5
        gradient[place] = (function(outputs + shift) - function(outputs - shift)) / 2e-5
    return gradient


def pairs_by_loop(u, labels, bank_u, bank_labels):
    terms = []
    for i in range(len(u)):
        for j in range(len(bank_u)):
            theta = 0.5 * sum(u[i, k] * bank_u[j, k] for k in range(K))
            similar = any(labels[i, c] and bank_labels[j, c] for c in range(C))
            terms.append(np.log1p(np.exp(theta)) - (theta if similar else 0))
    return np.mean(terms)


def log_cosh(u):
    return np.mean(np.log(np.cosh(np.abs(u) - 1)))


def squared(u):
    return np.mean((u - np.sign(u)) ** 2)


@pytest.mark.parametrize("labels", [ONE, SEVERAL])
@pytest.mark.parametrize(("rival", "quantization"), [(dhn, log_cosh), (dpsh, squared)])
def test_dhn_and_dpsh_compare_the_batch_with_the_bank_it_was_written_to(
    rival, quantization, labels
):
    bank_u, bank_labels = np.copy(BANK.outputs), np.copy(BANK.labels)
    bank_u[INDICES], bank_labels[INDICES] = U, labels

    def expected(u):
        return pairs_by_loop(u, labels, bank_u, bank_labels) + 0.3 * quantization(u)

    bank = Bank(*map(jnp.asarray, BANK))
    value, gradient, after = value_and_gradient(
        rival.loss, (), jnp.asarray(labels), bank, alpha=0.3
    )
    assert value == pytest.approx(expected(U.astype(np.float64)), rel=1e-5)
    # The bank is a constant, although the batch was just written to it.
    np.testing.assert_allclose(
        gradient, finite_differences(expected, U.astype(np.float64)), atol=1e-6
    )
    np.testing.assert_array_equal(after.outputs, bank_u)
    np.testing.assert_array_equal(after.labels, bank_labels)


def test_images_not_visited_yet_are_similar_to_none_and_give_no_gradient():
    _, empty = dhn.init(KEY, np.ones((N, C), np.float32), K)
    value, gradient = jax.value_and_grad(pairwise_term)(jnp.asarray(U), jnp.asarray(ONE), empty)
    assert value == pytest.approx(np.log(2))
    assert not gradient.any()


def test_dhn_stays_finite_for_large_outputs():
    large = jnp.full((1, K), 1e4)
    loss, _ = dhn.loss(
        (), large, jnp.ones((1, C)), jnp.zeros(1, int), Bank(large, jnp.ones((1, C))), 0
    )
    assert loss == pytest.approx(0.1 * (1e4 - 1 - np.log(2)), rel=1e-5)


@pytest.mark.parametrize("labels", [ONE, SEVERAL])
def test_csq_is_the_cross_entropy_between_outputs_and_centres(labels):
    _, centres = csq.init(KEY, labels, K)
    of_classes, at_ties = np.asarray(centres.of_classes), np.asarray(centres.at_ties)
    target = np.array(
        [
            [
                at_ties[k] if votes == 0 else np.sign(votes)
                for k in range(K)
                for votes in [sum(of_classes[c, k] for c in range(C) if labels[i, c])]
            ]
            for i in range(B)
        ]
    )
    assert set(np.unique(target)) == {-1, 1}

    def expected(u):
        h, t = np.tanh(u), (1 + target) / 2
        p = (1 + h) / 2
        entropy = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
        return entropy + 0.2 * np.mean((np.abs(h) - 1) ** 2)

    value, gradient, _ = value_and_gradient(
        csq.loss, (), jnp.asarray(labels), centres, quantization_weight=0.2
    )
    assert value == pytest.approx(expected(U.astype(np.float64)), rel=1e-5)
    np.testing.assert_allclose(
        gradient, finite_differences(expected, U.astype(np.float64)), atol=1e-6
    )


def test_centres_are_hadamard_rows_and_their_negatives_as_far_as_these_go():
    centres = np.asarray(csq.hash_centres(KEY, 10, 4))
    products = centres[:8] @ centres[:8].T
    assert set(np.unique(products)) == {-4, 0, 4}
    np.testing.assert_array_equal(centres[0], [1, 1, 1, 1])
    np.testing.assert_array_equal(centres[4:8], -centres[:4])
    np.testing.assert_array_equal(centres[8:].sum(axis=1), [0, 0])


def test_other_centres_have_half_of_the_bits_set_and_no_two_are_near():
    centres = np.asarray(csq.hash_centres(KEY, 20, 48))
    assert set(np.unique(centres)) == {-1, 1}
    np.testing.assert_array_equal(centres.sum(axis=1), np.zeros(20))
    distances = (48 - centres @ centres.T) / 2
    assert distances[~np.eye(20, dtype=bool)].min() >= 12


@pytest.mark.parametrize("labels", [ONE, SEVERAL])
def test_orthohash_is_a_cosine_softmax_with_a_margin(labels):
    _, codebook = orthohash.init(KEY, labels, K)
    code = np.asarray(codebook)
    assert code.shape == (C, K)
    assert set(np.unique(code)) == {-1, 1}

    def expected(u):
        total = 0.0
        for i in range(B):
            cosines = [
                u[i] @ code[c] / np.linalg.norm(u[i]) / np.linalg.norm(code[c]) for c in range(C)
            ]
            z = [8 * (cosines[c] - 0.2 * labels[i, c]) for c in range(C)]
            log_sum = np.log(sum(np.exp(z)))
            total -= sum(labels[i, c] * (z[c] - log_sum) for c in range(C)) / labels[i].sum()
        return total / B

    value, gradient, _ = value_and_gradient(orthohash.loss, (), jnp.asarray(labels), codebook)
    assert value == pytest.approx(expected(U.astype(np.float64)), rel=1e-5)
    np.testing.assert_allclose(
        gradient, finite_differences(expected, U.astype(np.float64)), atol=1e-6
    )


def test_greedyhash_classifies_codes_and_passes_the_gradient_through_the_sign():
    weights, state = greedyhash.init(KEY, ONE, K)
    classifier = np.asarray(weights)
    assert np.abs(classifier).max() <= K**-0.5

    def entropy(codes):
        z = codes @ classifier.T
        return -np.mean(np.sum(ONE * (z - np.log(np.exp(z).sum(axis=1, keepdims=True))), axis=1))

    def penalty(u):
        return 0.3 * np.mean(np.abs(np.abs(u) - 1) ** 3)

    u, codes = U.astype(np.float64), np.where(U >= 0, 1.0, -1.0)
    value, gradient, _ = value_and_gradient(
        greedyhash.loss, weights, jnp.asarray(ONE), state, alpha=0.3
    )
    assert value == pytest.approx(entropy(codes) + penalty(u), rel=1e-5)
    expected = finite_differences(entropy, codes) + finite_differences(penalty, u)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_greedyhash_says_that_it_needs_one_class_per_image():
    with pytest.raises(ValueError, match="exactly one class, but training image 0 has 2"):
        greedyhash.init(KEY, SEVERAL, K)
    assert [name for name, rival in RIVALS.items() if rival.one_class] == ["greedyhash"]
