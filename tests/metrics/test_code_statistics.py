"""Tests the statistics of codes and the alarms for collapsed codes."""

import numpy as np
import pytest

from hashnet_jax.metrics import code_statistics


def packed_codes(n=2000, bits=12, seed=0):
    return np.packbits(np.random.default_rng(seed).random((n, bits)) < 0.5, axis=1)


def test_distinct_codes_and_bit_balance_equal_counting():
    packed = packed_codes()
    statistics = code_statistics(packed, bits=12, classes=10)
    assert statistics.distinct == len({tuple(row) for row in packed})
    bits = np.unpackbits(packed, axis=1)[:, :12]
    np.testing.assert_array_equal(statistics.ones, bits.mean(axis=0))
    assert statistics.constant_bits == 0
    assert not statistics.collapsed


def test_the_mean_imbalance_is_the_distance_from_half():
    quarter = np.packbits(np.array([[1], [0], [0], [0]], np.uint8), axis=1)
    printed = str(code_statistics(quarter, bits=1, classes=1))
    assert printed.endswith("0 of 1 bits constant, mean imbalance 0.250 (at most 0.5)")


def test_fewer_codes_than_classes_raise_the_alarm_but_one_code_per_class_does_not():
    for distinct, collapsed in ((9, True), (10, False)):
        packed = packed_codes(distinct, bits=64)[np.arange(1000) % distinct]
        assert code_statistics(packed, bits=64, classes=10).collapsed == collapsed


def test_mostly_constant_bits_raise_the_alarm_even_if_a_few_codes_differ():
    packed = packed_codes(5000, bits=16)
    packed[:, 0] = 0
    packed[:4, 0] = 255
    statistics = code_statistics(packed, bits=16, classes=10)
    assert statistics.constant_bits == 8
    assert not statistics.collapsed
    packed[:, 1] &= 0b01111111
    assert code_statistics(packed, bits=16, classes=10).alarms == ("9 of 16 bits are constant",)


def test_too_few_bits_for_the_classes_raise_no_alarm():
    assert not code_statistics(packed_codes(bits=2), bits=2, classes=100).collapsed


@pytest.mark.bad_input
def test_malformed_codes_are_rejected():
    with pytest.raises(TypeError, match="pack_bits"):
        code_statistics(np.ones((3, 8)), bits=8, classes=2)
    with pytest.raises(ValueError, match="at least one code and one class, but got 0 codes"):
        code_statistics(packed_codes(0), bits=12, classes=2)
