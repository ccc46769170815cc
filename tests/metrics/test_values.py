"""Tests that labels, counts and codes with wrong values are refused instead of scored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.metrics import (
    DistanceCounts,
    average_precision,
    code_statistics,
    distance_counts,
    distance_counts_blocks,
    distance_counts_host,
    evaluate,
    mean_average_precision,
    precision_at,
    within_radius,
)

FORMS = (distance_counts, distance_counts_blocks, distance_counts_host)


def random_retrieval(queries=20, database=400, bits=16, classes=8):
    """Random codes, whose MAP is about 1 / classes, and class ids."""
    rng = np.random.default_rng(0)
    packed = [rng.integers(0, 256, (n, bits // 8)).astype(np.uint8) for n in (queries, database)]
    return *packed, *(rng.integers(0, classes, n) for n in (queries, database))


def as_columns(ids):
    return ids[:, None]


def as_signs(ids):
    return np.where(np.eye(8)[ids] > 0, 1.0, -1.0)


def as_halves(ids):
    return np.maximum(np.eye(8)[ids], 0.5)


@pytest.mark.bad_input
@pytest.mark.parametrize("on_device", [True, False])
@pytest.mark.parametrize(
    ("convert", "message", "repair"),
    [
        (as_columns, r"a column \(20, 1\)\. Use labels\.ravel\(\)", np.ravel),
        (
            as_signs,
            r"`labels_q`\[0, 0\] is -1\.0\. If -1 means .*, use labels > 0",
            lambda x: x > 0,
        ),
        (as_halves, r"`labels_q`\[0, 0\] is 0\.5\. .* labels >= 0\.5", lambda x: x > 0.5),
    ],
)
def test_labels_that_would_make_all_pairs_relevant_are_rejected_with_a_remedy(
    convert, message, repair, on_device
):
    packed_q, packed_db, ids_q, ids_db = random_retrieval()
    ids_q[0] = 3
    options = {"bits": 16, "on_device": on_device}
    labels_q, labels_db = convert(ids_q), convert(ids_db)
    with pytest.raises(ValueError, match=message):
        evaluate(packed_q, packed_db, labels_q, labels_db, **options)
    with pytest.raises(ValueError, match="labels_db"):
        evaluate(packed_q, packed_db, repair(labels_q), labels_db, **options)
    expected = evaluate(packed_q, packed_db, ids_q, ids_db, **options).mean_average_precision
    repaired = evaluate(packed_q, packed_db, repair(labels_q), repair(labels_db), **options)
    assert repaired.mean_average_precision == expected
    assert 0.1 < expected.expected < 0.2


@pytest.mark.parametrize("count", FORMS)
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("value", [np.nan, 2.0, -1.0])
def test_every_implementation_checks_every_entry_of_multi_hot_labels(count, as_array, value):
    packed_q, packed_db, ids_q, ids_db = random_retrieval()
    labels_q, labels_db = (np.eye(8, dtype=np.float32)[ids] for ids in (ids_q, ids_db))
    labels_db[399, 7] = value
    with pytest.raises(ValueError, match=r"`labels_db`\[399, 7\]"):
        count(packed_q, packed_db, as_array(labels_q), as_array(labels_db), bits=16)


@pytest.mark.parametrize("on_device", [True, False])
def test_a_bool_column_is_a_multi_hot_label(on_device):
    packed = np.array([[0], [1], [255]], np.uint8)
    labels = np.array([[True], [False], [True]])
    counts = evaluate(packed, packed, labels, labels, bits=8, on_device=on_device).counts
    assert counts.relevant.sum(axis=1).tolist() == [2, 0, 2]


def test_class_ids_beyond_int32_are_rejected_on_device_and_distinguished_on_the_host():
    packed = np.zeros((2, 1), np.uint8)
    ids = np.array([1, 2**32 + 1])
    with pytest.raises(ValueError, match=r"fit in int32, but `labels_q`\[1\] is 4294967297"):
        evaluate(packed, packed, ids, ids, bits=8, on_device=True)
    counts = evaluate(packed, packed, ids, ids, bits=8).counts
    assert counts.relevant.sum(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize(
    ("relevant", "total", "message"),
    [
        ([[0, 1], [0, 3]], [[1, 1], [5, 2]], "query 1 has 3 relevant codes out of 2 at distance 1"),
        ([[0, -1]], [[1, 1]], "query 0 has -1 relevant codes out of 1 at distance 1"),
    ],
)
@pytest.mark.parametrize("metric", [average_precision, mean_average_precision, within_radius])
def test_impossible_counts_are_rejected(metric, relevant, total, message, as_array):
    counts = DistanceCounts(as_array(np.array(relevant)), as_array(np.array(total)))
    options = {"radius": 1} if metric is within_radius else {}
    with pytest.raises(ValueError, match=message):
        metric(counts, **options)


def test_all_or_none_of_the_codes_at_a_distance_may_be_relevant():
    counts = DistanceCounts(np.array([[0, 2]]), np.array([[3, 2]]))
    assert mean_average_precision(counts).expected == pytest.approx((1 / 4 + 2 / 5) / 2)


@pytest.mark.bad_input
def test_counts_for_different_queries_or_bits_cannot_be_added():
    one, two = (DistanceCounts(np.ones((q, 9), int), np.ones((q, 9), int)) for q in (1, 2))
    with pytest.raises(ValueError, match=r"the same queries .* \(2, 9\) and \(1, 9\)"):
        two + one
    with pytest.raises(ValueError, match="at least one block, got none"):
        DistanceCounts.concatenate([])


def test_an_empty_list_of_ranks_gives_an_empty_curve():
    counts = DistanceCounts(np.array([[1, 0]]), np.array([[1, 1]]))
    assert precision_at(counts, []).shape == (0,)
    assert precision_at(jax.tree.map(jnp.asarray, counts), []).shape == (0,)


@pytest.mark.bad_input
@pytest.mark.parametrize("radius", [1.0, True, "1"])
def test_a_radius_that_is_not_an_int_is_rejected(radius):
    counts = DistanceCounts(np.array([[1, 0]]), np.array([[1, 1]]))
    with pytest.raises(TypeError, match="`radius` must be an int, got"):
        within_radius(counts, radius=radius)


@pytest.mark.bad_input
@pytest.mark.parametrize("count", FORMS)
@pytest.mark.parametrize("bits", [16.0, "16", True, None])
def test_a_number_of_bits_that_is_not_an_int_is_rejected(count, bits):
    with pytest.raises(TypeError, match="`bits` must be an int, got"):
        count(*random_retrieval(), bits=bits)


@pytest.mark.bad_input
@pytest.mark.parametrize("count", FORMS)
def test_an_empty_database_is_rejected(count):
    packed_q, packed_db, ids_q, ids_db = random_retrieval()
    with pytest.raises(ValueError, match="20 queries and 0 codes"):
        count(packed_q, packed_db[:0], ids_q, ids_db[:0], bits=16)


def test_statistics_of_codes_with_padding_bits_are_rejected():
    packed = np.array([[0b10100000], [0b10000000]], np.uint8)
    assert code_statistics(packed, bits=3, classes=2).distinct == 2
    with pytest.raises(ValueError, match="beyond K = 2 must be zero"):
        code_statistics(packed, bits=2, classes=2)
