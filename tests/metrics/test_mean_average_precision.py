"""Compares MAP over all ways of breaking ties with brute force, for every convention."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.metrics import (
    CONVENTIONS,
    DIVISORS,
    NO_HIT,
    DistanceCounts,
    code_statistics,
    evaluate,
    mean_average_precision,
    precision_at,
    precision_recall,
    within_radius,
)
from tests.metrics.test_average_precision import (
    all_orders,
    ap_of_ranking,
    group_counts,
    random_counts,
)

BAND = ("worst", "expected", "best")


def trained_codes(queries=30, database=400, bits=12, classes=5, flips=0.2, seed=0):
    """Generates class ids and packed codes with random bit flips around class centers."""
    rng = np.random.default_rng(seed)
    centers = rng.random((classes, bits)) < 0.5
    labels = [rng.integers(0, classes, n) for n in (queries, database)]
    codes = [centers[ids] ^ (rng.random((len(ids), bits)) < flips) for ids in labels]
    return *(np.packbits(code, axis=1) for code in codes), *labels


@settings(max_examples=60, deadline=None)
@given(
    st.lists(group_counts(max_group=3, max_groups=2), min_size=1, max_size=3),
    st.integers(1, 7),
    st.sampled_from(DIVISORS),
    st.sampled_from(NO_HIT),
)
def test_map_equals_brute_force_over_the_orders_of_all_queries(queries, cutoff, divisor, no_hit):
    counts = DistanceCounts(
        np.array([relevant for relevant, _ in queries]), np.array([total for _, total in queries])
    )
    result = mean_average_precision(counts, cutoff=cutoff, divisor=divisor, no_hit=no_hit)
    aps = [
        [ap_of_ranking(ranking, cutoff, divisor) for ranking in all_orders(*query)]
        for query in queries
    ]
    means = []
    for order in itertools.product(*aps):
        kept = [ap for ap, hit in order if hit or no_hit == "zero"]
        means += [np.mean(kept)] if kept else []
    if not means:
        assert all(np.isnan(getattr(result, name)) for name in BAND)
        return
    shares = [np.mean(query, axis=0) for query in aps]
    divisor_of_mean = sum(hit for _, hit in shares) if no_hit == "drop" else len(queries)
    expected = sum(ap for ap, _ in shares) / divisor_of_mean
    values = [getattr(result, name) for name in BAND]
    np.testing.assert_allclose(values, [min(means), expected, max(means)], atol=1e-12)
    assert values[0] - 1e-12 <= values[1] <= values[2] + 1e-12
    missed = len(queries) - sum(hit for _, hit in shares)
    np.testing.assert_allclose(result.queries_without_hit, missed, atol=1e-12)


@pytest.mark.parametrize("labels", ["class ids", "multi-hot"])
def test_shuffling_the_database_does_not_change_any_reported_number(labels):
    packed_q, packed_db, labels_q, labels_db = trained_codes()
    if labels == "multi-hot":
        rng = np.random.default_rng(1)
        table = rng.random((5, 20)) < 0.2
        labels_q, labels_db = table[labels_q], table[labels_db]
    order = np.random.default_rng(7).permutation(len(packed_db))

    def report(database, labels):
        result = evaluate(packed_q, database, labels_q, labels, bits=12, cutoff=50)
        return [
            result.mean_average_precision,
            *within_radius(result.counts),
            *np.concatenate(precision_recall(result.counts)),
            *precision_at(result.counts, [1, 10, 100]),
            str(code_statistics(database, bits=12, classes=5)),
        ]

    assert report(packed_db, labels_db) == report(packed_db[order], labels_db[order])


def test_collapsed_codes_on_a_class_sorted_database_score_chance_and_raise_the_alarm():
    classes, each = 10, 40
    database = np.zeros((classes * each, 2), np.uint8)
    labels = np.repeat(np.arange(classes), each)
    queries, query_labels = database[:classes], np.arange(classes)
    result = evaluate(queries, database, query_labels, labels, bits=16).mean_average_precision

    # Chance: at each rank k a code is relevant with probability r/n, and the k - 1 before it hold
    # (k - 1)(r - 1)/(n - 1) further relevant ones on average.
    n, r = len(database), each
    chance = sum((1 + (k - 1) * (r - 1) / (n - 1)) / k for k in range(1, n + 1)) / n
    np.testing.assert_allclose(result.expected, chance, rtol=1e-12)

    # The value that would be reported if the one large tie were kept in database order.
    ranking = [(labels == label).astype(float) for label in query_labels]
    printed = np.mean([ap_of_ranking(row, n, "hits")[0] for row in ranking])
    assert printed > 1.7 * chance
    assert result.worst < printed < result.best

    statistics = code_statistics(database, bits=16, classes=classes)
    assert statistics.collapsed
    assert "COLLAPSED: fewer distinct codes (1) than classes (10)" in str(statistics)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("divisor", "no_hit"), [("hits", "zero"), ("hits", "drop"), ("cutoff", "drop")]
)
def test_map_on_device_under_jit_equals_the_host_to_1e_minus_6(divisor, no_hit):
    counts = random_counts(queries=50, database=100_000, bits=64, classes=10)
    # One query never has a hit, and one may have none.
    counts.relevant[0], counts.relevant[1] = 0, 0
    counts.relevant[1, np.argmax(counts.total[1].cumsum() > 5_000)] = 1
    options = {"cutoff": 5_000, "divisor": divisor, "no_hit": no_hit}
    jitted = jax.jit(mean_average_precision, static_argnames=tuple(options))
    on_device = jitted(jax.tree.map(jnp.asarray, counts), **options)
    on_host = mean_average_precision(counts, **options)
    for name in (*BAND, "queries_without_hit"):
        np.testing.assert_allclose(getattr(on_device, name), getattr(on_host, name), atol=1e-6)
    assert str(on_device).startswith("MAP@5000 = ")


def test_every_divisor_and_no_hit_rule_gives_a_different_map():
    counts = DistanceCounts(np.array([[1, 2, 0], [0, 0, 6]]), np.array([[2, 4, 94], [2, 2, 96]]))
    values = {
        f"{mean_average_precision(counts, cutoff=4, divisor=divisor, no_hit=no_hit).expected:.3f}"
        for divisor in DIVISORS
        for no_hit in NO_HIT
    }
    assert len(values) == 6


def test_the_conventions_of_other_tools_are_valid_options():
    for options in CONVENTIONS.values():
        mean_average_precision(random_counts(2, 10, 7, 2), cutoff=3, **options)


@pytest.mark.bad_input
def test_an_unknown_no_hit_rule_is_rejected():
    with pytest.raises(ValueError, match=r"`no_hit` must be one of \('zero', 'drop'\), got 'skip'"):
        mean_average_precision(random_counts(2, 10, 7, 2), no_hit="skip")


@pytest.mark.parametrize("bits", [7, 12, 64])
def test_evaluation_in_blocks_on_device_equals_the_host(bits, monkeypatch):
    monkeypatch.setattr("hashnet_jax.metrics._counts_device._QUERY_BLOCK", 13)
    monkeypatch.setattr("hashnet_jax.metrics._counts_device._DATABASE_BLOCK", 150)
    arrays = trained_codes(bits=bits)
    options = {"bits": bits, "cutoff": 60, "divisor": "min", "no_hit": "drop"}
    on_device, on_host = (evaluate(*arrays, **options, on_device=flag) for flag in (True, False))
    assert on_device.mean_average_precision == on_host.mean_average_precision
    np.testing.assert_array_equal(on_device.counts.total, on_host.counts.total)


@pytest.mark.parametrize("on_device", [True, False])
def test_codes_packed_from_more_bits_are_rejected(on_device):
    with pytest.raises(ValueError, match=r"must be zero, but some are set\. Pass the `bits` that"):
        evaluate(*trained_codes(bits=16), bits=12, on_device=on_device)


def test_evaluation_of_jax_arrays_is_the_same_for_class_ids_and_one_hot_labels():
    packed_q, packed_db, labels_q, labels_db = map(jnp.asarray, trained_codes())
    by_id = evaluate(packed_q, packed_db, labels_q, labels_db, bits=12, cutoff=60)
    one_hot = np.eye(5)
    by_hot = evaluate(
        packed_q, packed_db, one_hot[labels_q], one_hot[labels_db], bits=12, cutoff=60
    )
    assert by_id.mean_average_precision == by_hot.mean_average_precision
    assert isinstance(by_id.mean_average_precision.expected, float)
