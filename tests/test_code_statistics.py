import numpy as np
import pytest

from hashnet_jax.code_statistics import code_statistics


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


def test_the_alarm_rings_for_fewer_codes_than_classes_but_not_for_one_code_a_class():
    for distinct, rings in ((9, True), (10, False)):
        packed = packed_codes(distinct, bits=64)[np.arange(1000) % distinct]
        assert code_statistics(packed, bits=64, classes=10).collapsed == rings


def test_the_alarm_rings_when_most_bits_are_constant_even_if_a_few_codes_stray():
    packed = packed_codes(5000, bits=16)
    packed[:, 0] = 0
    packed[:4, 0] = 255
    statistics = code_statistics(packed, bits=16, classes=10)
    assert statistics.constant_bits == 8
    assert not statistics.collapsed
    packed[:, 1] &= 0b01111111
    assert code_statistics(packed, bits=16, classes=10).alarms == ("9 of 16 bits constant",)


def test_few_bits_cannot_ring_for_classes_they_could_never_hold():
    assert not code_statistics(packed_codes(bits=2), bits=2, classes=100).collapsed


def test_wrong_inputs_name_what_must_hold():
    with pytest.raises(TypeError, match="pack_bits"):
        code_statistics(np.ones((3, 8)), bits=8, classes=2)
    with pytest.raises(ValueError, match="at least one code and one class, got 0 codes"):
        code_statistics(packed_codes(0), bits=12, classes=2)
