"""Compares the plain pairwise loss and its weights with a loop over pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from hashnet_jax.losses import jaccard, pair_weights, pairwise_loss, similarity


def loss_by_a_loop_over_pairs(
    codes_a, codes_b, labels_a, labels_b, alpha, offset, balance, continuous
):
    """Computes numerator and denominator in float64 with the paper's formula, pair by pair."""
    pairs = [(i, j) for i in range(len(codes_a)) for j in range(len(codes_b))]
    similar = {(i, j): bool((labels_a[i] & labels_b[j]).any()) for i, j in pairs}
    n_similar = sum(similar.values())
    n_dissimilar = len(pairs) - n_similar
    numerator = denominator = 0.0
    for i, j in pairs:
        s = similar[i, j]
        if balance == "batch":
            weight = len(pairs) / (n_similar if s else n_dissimilar)
        elif balance == "none":
            weight = 1.0
        else:
            weight = balance if s else 1.0
        if continuous and s:
            weight *= (labels_a[i] & labels_b[j]).sum() / (labels_a[i] | labels_b[j]).sum()
        inner = sum(float(a) * float(b) for a, b in zip(codes_a[i], codes_b[j], strict=True))
        z = alpha * (inner - offset * len(codes_a[i]))
        log_1_exp = max(z, 0.0) + np.log1p(np.exp(-abs(z)))
        numerator += weight * (log_1_exp - s * z)
        denominator += weight
    return numerator, denominator


@pytest.mark.slow
def test_pairwise_loss_matches_a_loop_over_pairs_on_200_random_cases():
    rng = np.random.default_rng(0)
    # Few shapes, since each is compiled: (B, N, K, C).
    shapes = [(1, 1, 1, 1), (2, 7, 12, 3), (6, 4, 39, 6), (5, 5, 16, 2)]
    for case in range(200):
        n_a, n_b, bits, n_classes = shapes[rng.integers(len(shapes))]
        codes_a = np.tanh(rng.normal(size=(n_a, bits)) * 3).astype(np.float32)
        codes_b = np.tanh(rng.normal(size=(n_b, bits)) * 3).astype(np.float32)
        labels_a = rng.random((n_a, n_classes)) < 0.4
        labels_b = rng.random((n_b, n_classes)) < 0.4
        alpha = float(rng.uniform(0.05, 1.0))
        offset = [0.0, 0.0, 0.25, -0.1][case % 4]
        balance = ["batch", "none", 5.0][case % 3]
        continuous = bool(case % 2)
        expected = loss_by_a_loop_over_pairs(
            codes_a, codes_b, labels_a, labels_b, alpha, offset, balance, continuous
        )
        similar = similarity(labels_a, labels_b)
        weights = pair_weights(
            similar,
            balance=balance,
            continuous=jaccard(labels_a, labels_b) if continuous else None,
        )
        got = pairwise_loss(codes_a, codes_b, similar, alpha=alpha, offset=offset, weights=weights)
        np.testing.assert_allclose(got, expected, rtol=2e-5, err_msg=f"case {case}")


@pytest.mark.parametrize("similar", [True, False])
def test_loss_and_gradient_are_correct_if_all_pairs_are_of_one_kind(similar):
    codes = jnp.array([[0.5, -0.5], [0.1, 0.9]])
    pairs = jnp.full((2, 2), similar)

    def loss(codes):
        numerator, denominator = pairwise_loss(
            codes, codes, pairs, alpha=1.0, weights=pair_weights(pairs)
        )
        return numerator / denominator

    value, gradient = jax.value_and_grad(loss)(codes)
    inner = np.asarray(codes) @ np.asarray(codes).T
    expected = np.mean(np.log1p(np.exp(inner)) - similar * inner)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("similar", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_are_finite_for_saturated_codes_of_4096_bits_at_alpha_1(sign, similar, dtype):
    codes = jnp.ones((3, 4096), dtype)
    pairs = jnp.full((3, 3), similar)

    def loss(codes_a, codes_b):
        numerator, denominator = pairwise_loss(codes_a, codes_b, pairs, alpha=1.0)
        return numerator / denominator

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(codes, sign * codes)
    expected = 4096.0 if similar == (sign < 0) else 0.0
    np.testing.assert_allclose(value, expected, atol=1e-6)
    assert all(np.isfinite(gradient.astype(jnp.float32)).all() for gradient in gradients)


def test_sums_are_float32_for_codes_of_any_dtype():
    for dtype, expected in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32)):
        numerator, denominator = pairwise_loss(
            jnp.ones((2, 3), dtype), jnp.ones((2, 3), dtype), jnp.eye(2), alpha=0.5
        )
        assert numerator.dtype == denominator.dtype == expected


def test_class_balance_gives_both_kinds_of_pairs_the_same_total_weight():
    similar = jnp.asarray(np.random.default_rng(1).random((20, 30)) < 0.05)
    weights = pair_weights(similar)
    np.testing.assert_allclose(weights[similar].sum(), weights[~similar].sum(), rtol=1e-5)
    np.testing.assert_allclose(weights.sum(), 2 * similar.size, rtol=1e-5)


def test_excluded_pairs_have_no_weight_and_no_effect_on_the_balance():
    similar = jnp.eye(4, dtype=bool).at[0, 1].set(True)
    weights = pair_weights(similar, counted=~jnp.eye(4, dtype=bool))
    assert weights.diagonal().sum() == 0
    np.testing.assert_allclose(weights[0, 1], 12 / 1)
    np.testing.assert_allclose(weights[1, 0], 12 / 11, rtol=1e-6)


def test_jaccard_does_not_change_the_weights_of_dissimilar_pairs():
    labels = jnp.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]])
    weights = pair_weights(
        similarity(labels, labels), balance="none", continuous=jaccard(labels, labels)
    )
    np.testing.assert_allclose(weights, [[1, 0.5, 1], [0.5, 1, 1], [1, 1, 1]])


def test_class_ids_and_one_hot_labels_are_equivalent():
    ids = np.array([3, 0, 3, 1])
    one_hot = np.eye(4, dtype=np.int8)[ids]
    np.testing.assert_array_equal(similarity(ids, ids), similarity(one_hot, one_hot))
    np.testing.assert_array_equal(jaccard(ids, ids), jaccard(one_hot, one_hot))


def test_an_image_without_labels_is_not_similar_to_any_image():
    labels = jnp.array([[0, 0], [1, 0]])
    assert similarity(labels, labels).tolist() == [[False, False], [False, True]]
    assert jaccard(labels, labels)[0, 0] == 0


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: similarity(jnp.zeros(2), jnp.zeros(2)), TypeError, "must be integers"),
        (lambda: similarity(jnp.zeros(2, int), jnp.zeros((2, 3))), ValueError, "both be"),
        (lambda: similarity(jnp.zeros((2, 4)), jnp.zeros((2, 3))), ValueError, "classes C"),
        (lambda: pair_weights(jnp.eye(2), balance="class"), ValueError, "'batch', 'none'"),
        (lambda: pair_weights(jnp.eye(2), balance=-1.0), ValueError, "positive number"),
        (
            lambda: pair_weights(jnp.eye(2), continuous=jnp.ones((2, 3))),
            ValueError,
            r"`continuous` must be \[B, N\] = \(2, 2\), got \(2, 3\)",
        ),
        (
            lambda: pairwise_loss(jnp.ones((2, 4)), jnp.ones((5, 4)), jnp.ones((2, 2)), alpha=1.0),
            ValueError,
            r"`similar` must be \[B, N\] = \(2, 5\), got \(2, 2\)",
        ),
        (
            lambda: pairwise_loss(jnp.ones((2, 4)), jnp.ones((2, 3)), jnp.ones((2, 2)), alpha=1.0),
            ValueError,
            "same number of bits K",
        ),
    ],
)
def test_malformed_codes_labels_and_weights_are_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_run_time_checks_of_the_tests_catch_codes_of_different_numbers_of_bits():
    with pytest.raises(TypeCheckError, match="codes_b"):
        pairwise_loss(jnp.ones((2, 4)), jnp.ones((2, 3)), jnp.ones((2, 2)), alpha=1.0)
