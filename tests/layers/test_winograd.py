"""Compares Winograd's algorithm with `jax.lax`."""

import jax
import pytest
from jax import Array, lax

from hashnet_jax.layers import convolve
from hashnet_jax.layers._cpu_winograd import is_faster
from hashnet_jax.layers._geometry import ConvGeometry
from tests.support.gradients import assert_close, random, with_gradients

# side, C, F, k, stride, padding, batch; tiles end with the image or extend beyond it
WINOGRAD = [
    (12, 64, 64, 3, 1, ((1, 1), (1, 1)), 6),
    (24, 64, 70, 3, 1, ((0, 1), (2, 0)), 2),
    pytest.param(27, 64, 64, 5, 1, ((2, 2), (1, 4)), 3, marks=pytest.mark.slow),
    (63, 3, 64, 11, 4, ((2, 0), (1, 3)), 3),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "channels", "filters", "size", "stride", "padding", "batch"), WINOGRAD
)
def test_winograds_algorithm_and_its_gradients_match_lax(
    side: int,
    channels: int,
    filters: int,
    size: int,
    stride: int,
    padding: tuple[tuple[int, int], tuple[int, int]],
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The batch of two is unfolded at once, while the others are unfolded in chunks.
    working_set = 2**20 if batch > 2 else 2**26
    monkeypatch.setattr("hashnet_jax.layers._cpu_batch_chunks.WORKING_SET_BYTES", working_set)
    images = random(0, batch, side, side, channels)
    kernel = random(1, size, size, channels, filters)
    strides = (stride, stride)
    assert is_faster(images, kernel, ConvGeometry(strides, padding))

    def plain(images: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    winograd = jax.jit(
        lambda x, w: with_gradients(lambda x, w: convolve(x, w, strides, padding), x, w)
    )
    assert winograd.lower(images, kernel).as_text().count("stablehlo.convolution") == 0
    expected = jax.jit(lambda x, w: with_gradients(plain, x, w))(images, kernel)
    assert_close(winograd(images, kernel), expected, 2e-5 if size == 5 else 2e-6)


@pytest.mark.parametrize(
    ("shape", "size", "strides", "dtype"),
    [
        ((6, 12, 12, 64), 3, (2, 2), "float32"),
        ((6, 12, 12, 64), 7, (1, 1), "float32"),
        ((6, 12, 12, 47), 3, (1, 1), "float32"),
        ((6, 12, 12, 64), 3, (1, 1), "bfloat16"),
        ((1, 12, 12, 64), 3, (1, 1), "float32"),
        ((1, 512, 512, 64), 3, (1, 1), "float32"),
    ],
)
def test_winograds_algorithm_is_not_used_where_it_is_slower_or_does_not_apply(
    shape: tuple[int, ...], size: int, strides: tuple[int, int], dtype: str
) -> None:
    images = jax.ShapeDtypeStruct(shape, dtype)
    kernel = jax.ShapeDtypeStruct((size, size, shape[-1], 64), dtype)
    assert not is_faster(images, kernel, ConvGeometry(strides, ((1, 1), (1, 1))))
