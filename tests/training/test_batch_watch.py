"""Tests the warnings about batches from which nothing can be learned."""

import pytest

from hashnet_jax.training._batch_watch import PATIENCE, BatchWatch

HEALTHY = {"similar_share": 0.1, "constant_bits": 0.0}


def lines_for(steps):
    said = []
    watch = BatchWatch(bits=12, say=said.append)
    for step, numbers in enumerate(steps, 1):
        watch.add(step, HEALTHY | numbers)
    return said


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"similar_share": 0.0}, "no batch contained a similar pair of images"),
        ({"similar_share": 1.0}, "no batch contained a dissimilar pair of images"),
        ({"constant_bits": 12.0}, "all 12 bits were the same for all images in each batch: the "),
        ({"constant_bits": 3.0}, "3 or more of 12 bits were the same for all images"),
    ],
)
def test_a_lasting_condition_is_reported_once(numbers, message):
    (line,) = lines_for([{}] * 7 + [numbers] * (2 * PATIENCE))
    assert line.startswith(f"warning: in steps 8 to {7 + PATIENCE}, ")
    assert message in line


def test_a_condition_in_single_batches_is_not_reported():
    steps = ([{"similar_share": 0.0, "constant_bits": 2.0}] * (PATIENCE - 1) + [{}]) * 3
    assert lines_for(steps) == []


def test_the_number_of_constant_bits_is_the_fewest_in_any_batch():
    steps = [{"constant_bits": bits} for bits in (5.0, 2.0) * (PATIENCE // 2)]
    assert "2 or more of 12 bits" in lines_for(steps)[0]
