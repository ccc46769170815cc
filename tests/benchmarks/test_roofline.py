"""Tests for the roofline estimates, against counts by hand."""

import argparse
import re

import jax
import jax.numpy as jnp
import pytest

from benchmarks import roofline
from hashnet_jax.layers import convolve

SMALL = argparse.Namespace(batch_size=2, image_size=32, bits=16, dtype="float32")


def shape(*lengths, dtype="float32"):
    return jax.ShapeDtypeStruct(lengths, dtype)


def test_a_convolution_and_its_gradients_are_counted_as_by_hand():
    def value_and_gradients(images, kernel):
        return jax.vjp(lambda x, w: convolve(x, w, (2, 2), "VALID"), images, kernel)[1](
            jnp.ones((2, 4, 4, 6))
        )

    found = roofline.operations(value_and_gradients, shape(2, 9, 9, 5), shape(3, 3, 5, 6))
    # Each of 2 * 4 * 4 * 6 outputs takes 3 * 3 * 5 multiplications and additions.
    assert found[0].flops == 2 * (2 * 4 * 4 * 6) * (3 * 3 * 5)
    assert found[0].moved == 4 * (2 * 9 * 9 * 5 + 3 * 3 * 5 * 6 + 2 * 4 * 4 * 6)
    assert [operation.name for operation in found] == 3 * ["conv_general_dilated"]


def test_operations_in_a_loop_count_once_per_iteration():
    def power(matrix):
        return jax.lax.scan(lambda total, _: (total @ matrix, None), matrix, length=7)[0]

    (product,) = roofline.operations(power, shape(4, 4))
    assert product.flops == 7 * 2 * 4**3


def test_a_reduction_reads_activations_in_the_dtype_in_which_they_are_stored():
    def mean(images):
        return images.mean(dtype=jnp.float32)

    (reduction,) = roofline.operations(mean, shape(10, 4, dtype="bfloat16"), dtype="bfloat16")
    assert reduction.moved == 2 * (40 + 1)


@pytest.mark.parametrize(("backbone", "giga"), [("resnet18", 1.81), ("alexnet", 0.71)])
def test_the_flops_of_a_network_are_the_published_ones(backbone, giga):
    # torchvision documents these multiplications per image of 224 x 224 pixels.
    options = argparse.Namespace(**vars(SMALL) | {"image_size": 224})
    flops = sum(operation.flops for operation in roofline.encode_operations(backbone, options))
    assert flops / 2e9 / options.batch_size == pytest.approx(giga, rel=0.02)


def test_a_step_takes_up_to_three_times_the_flops_of_encoding():
    encode, train = (
        sum(op.flops for op in count("resnet18", SMALL))
        for count in (roofline.encode_operations, roofline.train_operations)
    )
    assert 2.5 * encode < train < 3.1 * encode


def test_an_operation_takes_the_longer_of_computing_and_moving():
    operation = roofline.Operation("dot_general", flops=100.0, moved=10.0)
    assert operation.seconds(peak=50.0, bandwidth=10.0) == 2.0
    assert operation.seconds(peak=1000.0, bandwidth=10.0) == 1.0


def test_a_measurement_is_related_to_the_roofline_of_a_known_device(monkeypatch):
    options = argparse.Namespace(**vars(SMALL) | {"devices": 2})
    assert roofline.note("encode", "small_cnn", 1.0, options) == ""
    monkeypatch.setattr(roofline, "known_device", lambda names: "H100")
    monkeypatch.setattr(roofline, "bound", lambda found, device, dtype: (0.25, 0.5))
    # Two devices encode at most 2 * 2 images in 0.25 s.
    assert roofline.note("encode", "small_cnn", 4.0, options) == "25% of the roofline"


def test_estimates_are_printed_for_each_device(capsys):
    roofline.main(["--backbone", "small_cnn", "--image-size", "16", "--device", "H100", "L4"])
    printed = capsys.readouterr().out
    assert len(re.findall(r"(H100|L4) .* images/s, \d+% bound by memory", printed)) == 4
