"""Compares per-distance counts on device and host with a loop over pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.metrics import DistanceCounts, distance_counts, distance_counts_host

jitted_counts = jax.jit(distance_counts, static_argnames="bits")
FORMS = [jitted_counts, distance_counts_host]


def retrieval(bits, labels, seed=0, queries=9, database=300):
    """Generates packed codes with class ids, or with multi-hot labels that may be empty."""
    rng = np.random.default_rng(seed)
    codes = [np.packbits(rng.random((n, bits)) < 0.4, axis=1) for n in (queries, database)]
    if labels == "class ids":
        return *codes, *(rng.integers(0, 4, n) for n in (queries, database))
    return *codes, *((rng.random((n, 70)) < 0.02).astype(np.int8) for n in (queries, database))


def counts_by_loop(packed_q, packed_db, labels_q, labels_db, bits):
    relevant, total = np.zeros((2, len(packed_q), bits + 1), np.int32)
    for q, (code, label) in enumerate(zip(packed_q, labels_q, strict=True)):
        for other, other_label in zip(packed_db, labels_db, strict=True):
            distance = sum(int(a ^ b).bit_count() for a, b in zip(code, other, strict=True))
            total[q, distance] += 1
            shares = label == other_label if np.ndim(label) == 0 else (label & other_label).any()
            relevant[q, distance] += shares
    return DistanceCounts(relevant, total)


def assert_equal(a, b):
    np.testing.assert_array_equal(a.relevant, b.relevant)
    np.testing.assert_array_equal(a.total, b.total)


@pytest.mark.parametrize("labels", ["class ids", "multi-hot"])
@pytest.mark.parametrize("bits", [1, 7, 12, 64, 130])
@pytest.mark.parametrize("count", FORMS)
def test_counts_equal_a_loop_over_pairs(count, bits, labels):
    arrays = retrieval(bits, labels)
    counts = count(*arrays, bits=bits)
    assert_equal(counts, counts_by_loop(*arrays, bits))
    assert counts.relevant.dtype == counts.total.dtype == np.int32
    assert counts.relevant.sum() > 0


@pytest.mark.parametrize("labels", ["class ids", "multi-hot"])
@pytest.mark.parametrize("bits", [127, 128, 255, 256])
def test_the_farthest_code_is_counted_whether_or_not_bins_fit_in_a_byte(bits, labels):
    codes = np.packbits(np.array([[0] * bits, [1] * bits], bool), axis=1)
    label = np.zeros(2, int) if labels == "class ids" else np.ones((2, 3), int)
    counts = distance_counts_host(codes[:1], codes, label[:1], label, bits=bits)
    for histogram in (counts.relevant, counts.total):
        assert np.flatnonzero(histogram[0]).tolist() == [0, bits]


@pytest.mark.parametrize("count", FORMS)
def test_one_hot_labels_and_class_ids_have_the_same_counts(count):
    packed_q, packed_db, labels_q, labels_db = retrieval(12, "class ids")
    one_hot = np.eye(4, dtype=np.float32)
    assert_equal(
        count(packed_q, packed_db, labels_q, labels_db, bits=12),
        count(packed_q, packed_db, one_hot[labels_q], one_hot[labels_db], bits=12),
    )


def test_device_counts_are_the_same_with_and_without_jit():
    arrays = retrieval(12, "multi-hot")
    assert_equal(jitted_counts(*arrays, bits=12), distance_counts(*arrays, bits=12))


def test_the_default_device_counts_if_jax_may_not_use_the_cpu(monkeypatch):
    arrays = retrieval(12, "class ids")
    expected = distance_counts_host(*arrays, bits=12)

    def excluded(backend=None):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", excluded)
    assert_equal(distance_counts_host(*arrays, bits=12), expected)


def test_splitting_the_database_on_the_host_does_not_change_the_counts(monkeypatch):
    arrays = retrieval(64, "multi-hot")
    whole = distance_counts_host(*arrays, bits=64)
    monkeypatch.setattr("hashnet_jax.metrics._counts_host._DATABASE_BLOCK", 7)
    assert_equal(distance_counts_host(*arrays, bits=64), whole)


@pytest.mark.parametrize("count", FORMS)
def test_counts_can_be_added_over_database_parts_and_concatenated_over_query_blocks(count):
    packed_q, packed_db, labels_q, labels_db = retrieval(12, "class ids")
    parts = [
        count(packed_q[q], packed_db[:15], labels_q[q], labels_db[:15], bits=12)
        + count(packed_q[q], packed_db[15:], labels_q[q], labels_db[15:], bits=12)
        for q in (slice(0, 4), slice(4, None))
    ]
    whole = count(packed_q, packed_db, labels_q, labels_db, bits=12)
    assert_equal(DistanceCounts.concatenate(parts), whole)


@pytest.mark.bad_input
@pytest.mark.parametrize("count", FORMS)
@pytest.mark.parametrize(
    ("index", "value", "error", "message"),
    [
        (0, np.zeros((9, 2), np.int8), TypeError, r"pack_bits"),
        (
            1,
            np.zeros((300, 3), np.uint8),
            ValueError,
            r"\[codes, 2\] for K = 12 bits, got shape \(300, 3\)",
        ),
        (
            0,
            np.zeros((0, 2), np.uint8),
            ValueError,
            "at least one query and one code .* 0 queries and 300",
        ),
        (2, np.zeros(8, int), ValueError, r"one row per code, but got \(8,\)"),
        (
            2,
            np.zeros((9, 0)),
            ValueError,
            r"multi-hot labels \[(N|9), C\], .*\(9, 0\)",
        ),
        (3, np.zeros((300, 2), int), ValueError, r"both be class ids, or both multi-hot"),
        (2, np.zeros(9, np.float32), TypeError, r"labels\.astype\(int\)"),
    ],
)
def test_malformed_codes_and_labels_are_rejected(count, index, value, error, message):
    arrays = list(retrieval(12, "class ids"))
    arrays[index] = value
    with pytest.raises(error, match=message):
        count(*arrays, bits=12)


def test_counts_are_a_pytree():
    counts = distance_counts_host(*retrieval(7, "class ids"), bits=7)
    on_device = jax.tree.map(jnp.asarray, counts)
    assert isinstance(on_device, DistanceCounts)
    assert isinstance(on_device.total, jax.Array)
