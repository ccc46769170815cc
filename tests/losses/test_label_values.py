"""Tests that label values that would make every pair similar are rejected, unless traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.losses import (
    check_label_values,
    count_pairs,
    jaccard,
    labels_on_device,
    pair_weights,
    pairwise_batch_loss,
    pairwise_loss,
    pairwise_loss_blocks,
    similarity,
)

ONE_HOT = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]


def both(function):
    return lambda labels: function(labels, labels)


def blocks(labels):
    codes = jnp.ones((4, 2))
    return pairwise_loss_blocks(codes, codes, labels, labels, alpha=1.0)


def batch_loss(labels):
    return pairwise_batch_loss(labels, alpha=1.0)


USERS = [both(similarity), both(jaccard), both(count_pairs), blocks, batch_loss]


@pytest.mark.parametrize("use", USERS)
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (2 * ONE_HOT - 1, r"\[0, 1\] is -1\.0\. If -1 means .not of this class., use labels > 0"),
        (ONE_HOT / 2, r"\[0, 0\] is 0\.5\. .* labels >= 0\.5"),
        (3 * ONE_HOT, r"\[0, 0\] is 3\.0\. Use labels\.ravel\(\) .* or labels > 0"),
        (ONE_HOT * np.nan, r"\[0, 0\] is nan\. .* labels >= 0\.5"),
        (np.array([[0], [1], [1], [0]]), r"a column \(4, 1\)\. Use labels\.ravel\(\)"),
    ],
)
def test_every_function_of_labels_rejects_values_other_than_0_and_1(use, labels, message, as_array):
    with pytest.raises(ValueError, match=message):
        use(as_array(labels))


@pytest.mark.slow
@pytest.mark.parametrize("use", USERS)
def test_every_function_of_labels_accepts_class_ids_and_multi_hot_labels_of_any_dtype(use):
    ids = np.array([0, 1, 2, 0])
    expected = jax.tree.leaves(use(ids))
    for dtype in (bool, np.int8, np.uint8, np.float16, np.float64):
        for got, value in zip(jax.tree.leaves(use(ONE_HOT.astype(dtype))), expected, strict=True):
            if not callable(got):
                np.testing.assert_array_equal(got, value)


def test_only_the_shapes_of_traced_labels_are_checked():
    signs = jnp.asarray(2 * ONE_HOT - 1)
    assert jax.jit(similarity)(signs, signs).all()
    column = jnp.zeros((4, 1), int)
    with pytest.raises(ValueError, match="got a column"):
        jax.jit(similarity)(column, column)


def test_labels_in_a_closure_are_checked_under_jit():
    for labels in (2 * ONE_HOT - 1, jnp.asarray(2 * ONE_HOT - 1)):
        with pytest.raises(ValueError, match="multi-hot labels must be 0 or 1"):
            jax.jit(lambda ids, labels=labels: similarity(labels, labels) & (ids == 0))(0)


@pytest.mark.bad_input
def test_labels_of_an_invalid_shape_or_dtype_are_rejected():
    for shape in ((), (2, 0), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"`y` must be class ids \[N\] or multi-hot labels"):
            check_label_values("y", np.zeros(shape, int))
    with pytest.raises(TypeError, match="class ids must be integers, got bool in `y`"):
        check_label_values("y", np.zeros(3, bool))
    check_label_values("y", np.zeros((0, 2), int))


def test_class_ids_keep_their_values_on_the_device():
    ids = np.array([-(2**31), 2**31 - 1])
    np.testing.assert_array_equal(labels_on_device("y", ids), ids)
    for outside in (-(2**31) - 1, 2**31):
        with pytest.raises(ValueError, match=rf"int32, but `y`\[1\] is {outside}"):
            labels_on_device("y", np.array([0, outside]))
    with pytest.raises(ValueError, match="must fit in int32, but `labels_b`"):
        similarity(np.array([1]), np.array([2**32 + 1]))


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("similar", 2 * np.eye(2) - 1, r"`similar` must be 0 or 1, but `similar`\[0, 1\] is -1"),
        ("similar", np.eye(2) / 2, r"`similar` must be 0 or 1, but `similar`\[0, 0\] is 0\.5"),
        ("continuous", np.eye(2) + 0.5, r"in \[0, 1\], but `continuous`\[0, 0\] is 1\.5"),
        ("continuous", np.eye(2) * np.nan, r"in \[0, 1\], but `continuous`\[0, 0\] is nan"),
        ("continuous", np.eye(2) - 0.5, r"in \[0, 1\], but `continuous`\[0, 1\] is -0\.5"),
    ],
)
def test_pair_weights_checks_the_values_of_all_pairs(name, value, message, as_array):
    arguments = {"similar": np.eye(2)} | {name: as_array(np.float32(value))}
    with pytest.raises(ValueError, match=message):
        pair_weights(**arguments)


@pytest.mark.bad_input
def test_counted_must_be_0_or_1_and_pairs_must_have_two_axes():
    with pytest.raises(ValueError, match=r"`counted` must be 0 or 1, but `counted`\[0, 0\] is 2"):
        pair_weights(np.eye(2), counted=2 * np.eye(2))
    with pytest.raises(ValueError, match=r"`similar` must be \[B, N\], got \(2,\)"):
        pair_weights(np.ones(2))


def test_a_jaccard_index_that_exceeds_1_by_rounding_is_accepted():
    similar = np.ones((1, 2), bool)
    weights = pair_weights(similar, balance="none", continuous=np.float32([[1 + 1e-7, 0.5]]))
    np.testing.assert_allclose(weights, [[1, 0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similar": 2 * np.eye(2) - 1}, r"`similar` must be 0 or 1"),
        ({"weights": np.array([[1.0, 1.0], [-1.0, 1.0]])}, r">= 0, but `weights`\[1, 0\] is -1"),
        ({"weights": np.array([[1.0, np.inf], [1.0, 1.0]])}, r"finite .* `weights`\[0, 1\] is inf"),
        ({"alpha": 0.0}, "`alpha` must be positive and finite, got 0"),
        ({"alpha": np.nan}, "`alpha` must be positive and finite, got nan"),
        ({"alpha": np.inf}, "`alpha` must be positive and finite, got inf"),
    ],
)
def test_the_loss_checks_similarity_weights_and_alpha(options, message):
    codes = jnp.ones((2, 4))
    with pytest.raises(ValueError, match=message):
        pairwise_loss(codes, codes, **({"similar": jnp.eye(2), "alpha": 1.0} | options))


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan])
def test_the_other_losses_check_alpha_and_weights(alpha):
    codes, ids = jnp.ones((2, 4)), jnp.array([0, 1])
    with pytest.raises(ValueError, match="`alpha` must be positive"):
        pairwise_batch_loss(ids, alpha=alpha)
    with pytest.raises(ValueError, match="`alpha` must be positive"):
        pairwise_loss_blocks(codes, codes, ids, ids, alpha=alpha)
    with pytest.raises(ValueError, match="`weights` must be positive and finite"):
        pairwise_loss_blocks(codes, codes, ids, ids, alpha=1.0, weights=(1.0, alpha))


@pytest.mark.bad_input
@pytest.mark.parametrize("balance", [True, 0, 0.0, -1, np.nan, np.inf])
def test_a_balance_that_is_not_a_positive_number_is_rejected(balance):
    with pytest.raises(ValueError, match="`balance` must be 'batch', 'none' or a positive number"):
        pair_weights(np.eye(2), balance=balance)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("labels", [np.arange(3), np.eye(3)])
def test_empty_codes_have_no_pairs_and_sums_of_zero(rows, labels):
    a, b = (labels[:n] for n in rows)
    codes_a, codes_b = (jnp.ones((n, 4)) for n in rows)
    assert similarity(a, b).shape == jaccard(a, b).shape == rows
    assert [float(n) for n in count_pairs(a, b)] == [0, 0]
    weights = pair_weights(similarity(a, b))
    plain = pairwise_loss(codes_a, codes_b, similarity(a, b), alpha=1.0, weights=weights)
    in_blocks = pairwise_loss_blocks(codes_a, codes_b, a, b, alpha=1.0)
    assert [float(x) for x in (*plain, *in_blocks)] == [0, 0, 0, 0]


@pytest.mark.slow
def test_a_batch_of_zero_or_one_images_has_zero_loss_and_a_finite_gradient():
    for n in (0, 1):
        loss = pairwise_batch_loss(np.zeros(n, int), alpha=1.0)
        value, gradient = jax.value_and_grad(loss.share)(jnp.ones((n, 4)))
        assert value == 0
        assert loss.similar_share == 0
        np.testing.assert_array_equal(gradient, np.zeros((n, 4)))
