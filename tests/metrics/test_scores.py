"""Compares MAP by float scores with brute force and with MAP by Hamming distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.metrics import (
    DIVISORS,
    NO_HIT,
    evaluate,
    mean_average_precision_scores,
)
from hashnet_jax.metrics._scores import score_counts
from tests.metrics.test_average_precision import all_orders, ap_of_ranking

BAND = ("worst", "expected", "best", "queries_without_hit")


def random_codes(rng, n, bits):
    return rng.choice([-1, 1], (n, bits)).astype(np.int8)


def brute_force(scores, similar, cutoff, divisor):
    """Returns worst, expected and best MAP@R from every order of every tie of one query."""
    levels = sorted(set(scores.tolist()), reverse=True)
    groups = [(similar[scores == level].sum(), (scores == level).sum()) for level in levels]
    values = [ap_of_ranking(row, cutoff, divisor) for row in all_orders(*zip(*groups, strict=True))]
    aps = [ap for ap, _ in values]
    return min(aps), np.mean(aps), max(aps)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from(DIVISORS))
def test_map_by_scores_equals_brute_force_over_the_orders_of_equal_scores(seed, cutoff, divisor):
    rng = np.random.default_rng(seed)
    queries = rng.choice([-1.5, -0.25, 0.0, 0.5], (1, 3))
    database = random_codes(rng, 7, 3)
    labels = rng.integers(0, 3, 7)
    result = mean_average_precision_scores(
        queries, database, np.array([0]), labels, cutoff=cutoff, divisor=divisor
    )
    expected = brute_force((queries @ database.T)[0], labels == 0, cutoff, divisor)
    np.testing.assert_allclose(
        [result.worst, result.expected, result.best], expected, atol=1e-12, rtol=0
    )


def test_without_ties_the_ranking_is_that_of_the_inner_product():
    rng = np.random.default_rng(0)
    queries, database = rng.normal(size=(5, 8)), rng.normal(size=(60, 8)).astype(np.float32)
    labels_q, labels_db = rng.integers(0, 4, 5), rng.integers(0, 4, 60)
    order = np.argsort(-(queries @ database.T), axis=1)
    rankings = (labels_db[order] == labels_q[:, None]).astype(float)
    expected = np.mean([ap_of_ranking(row, 20, "hits")[0] for row in rankings])
    result = mean_average_precision_scores(queries, database, labels_q, labels_db, cutoff=20)
    assert result.worst == result.best
    np.testing.assert_allclose(result.expected, expected, rtol=1e-12)


@pytest.mark.parametrize("labels", ["class ids", "multi-hot"])
@pytest.mark.parametrize("no_hit", NO_HIT)
@pytest.mark.parametrize(("cutoff", "divisor"), [(None, "hits"), (30, "min"), (400, "cutoff")])
def test_map_by_the_inner_product_of_two_codes_is_map_by_hamming_distance(
    labels, no_hit, cutoff, divisor
):
    rng = np.random.default_rng(1)
    queries, database = random_codes(rng, 20, 11), random_codes(rng, 300, 11)
    if labels == "multi-hot":
        labels_q, labels_db = rng.random((20, 9)) < 0.1, rng.random((300, 9)) < 0.1
    else:
        labels_q, labels_db = rng.integers(0, 40, 20), rng.integers(0, 30, 300)
    options = {"cutoff": cutoff, "divisor": divisor, "no_hit": no_hit}
    packed = (np.packbits(codes > 0, axis=1) for codes in (queries, database))
    by_distance = evaluate(*packed, labels_q, labels_db, bits=11, **options)
    by_score = mean_average_precision_scores(queries, database, labels_q, labels_db, **options)
    for name in BAND:
        np.testing.assert_allclose(
            getattr(by_score, name), getattr(by_distance.mean_average_precision, name), rtol=1e-12
        )
    assert by_score.convention == by_distance.mean_average_precision.convention


def test_shuffling_the_database_does_not_part_equal_vectors():
    rng = np.random.default_rng(2)
    distinct = rng.normal(size=(9, 200)).astype(np.float32)
    database, labels = distinct[rng.integers(0, 9, 500)], rng.integers(0, 5, 500)
    queries, labels_q = rng.normal(size=(6, 200)).astype(np.float32), np.arange(6) % 5
    order = rng.permutation(500)
    result = mean_average_precision_scores(queries, database, labels_q, labels)
    assert result == mean_average_precision_scores(
        queries, database[order], labels_q, labels[order]
    )
    # With nine distinct scores, most of the ranking consists of ties.
    assert result.best - result.worst > 0.1


def test_the_blocks_of_queries_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(3)
    queries, database = rng.normal(size=(7, 12)), random_codes(rng, 50, 12)
    arrays = queries, database, rng.integers(0, 9, 7), rng.integers(0, 9, 50)
    options = {"cutoff": 9, "no_hit": "drop"}
    whole = mean_average_precision_scores(*arrays, **options)
    monkeypatch.setattr("hashnet_jax.metrics._scores._BLOCK", 120)
    assert mean_average_precision_scores(*arrays, **options) == whole


def test_scores_of_zero_tie_whatever_their_sign():
    scores = np.array([[-0.0, 0.0, -1.0, 1.0]], np.float32)
    counts = score_counts(scores, np.array([[True, True, True, True]]))
    assert counts.total.tolist() == [[1, 2, 1]]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.ones(3)}, r"\[Q, K\] and \[N, K\] with the same K"),
        ({"queries": np.ones((2, 4))}, r"\(2, 4\) and \(3, 3\)\. Codes must not be packed"),
        ({"database": np.ones((0, 3))}, "at least one query"),
        ({"queries": np.array([[1, 1, 1], [0, np.nan, 0]])}, "`queries` must be finite, but row 1"),
        ({"database": np.full((3, 3), np.inf)}, "`database` must be finite, but row 0"),
        ({"labels_q": np.zeros(3, int)}, "`labels_q` must be class ids"),
        ({"labels_db": np.ones((3, 2))}, "both be class ids, or both multi-hot"),
        ({"no_hit": "skip"}, "`no_hit` must be one of"),
        ({"divisor": "all"}, "`divisor` must be one of"),
        ({"cutoff": 0}, "`cutoff` must be >= 1"),
    ],
)
def test_vectors_labels_and_options_without_a_ranking_are_rejected(change, message):
    arguments = {
        "queries": np.ones((2, 3)),
        "database": np.ones((3, 3)),
        "labels_q": np.zeros(2, int),
        "labels_db": np.zeros(3, int),
    }
    with pytest.raises(ValueError, match=message):
        mean_average_precision_scores(**arguments | change)
