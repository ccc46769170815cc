"""Compares the CPU implementations of max pooling and convolution with `jax.lax`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export, lax

from hashnet_jax.layers import convolve, max_pool, plain_layers
from tests.support.gradients import assert_close, random, with_gradients

# side, window, stride, padding
POOLS = [
    (55, 3, 2, 0),
    (14, 3, 2, 0),
    (16, 3, 2, 1),
    (9, 3, 2, 1),
    (8, 2, 2, 0),
    (7, 2, 2, 0),
]

# side, C, F, k, stride, padding; every kind that occurs in a backbone, with odd and even sides
CONVOLUTIONS = [
    (63, 3, 8, 11, 4, 2),
    (15, 4, 6, 5, 1, 2),
    (13, 8, 5, 3, 1, 1),
    (32, 3, 8, 7, 2, 3),
    (33, 3, 8, 7, 2, 3),
    (14, 34, 6, 3, 2, 1),
    (7, 4, 6, 3, 2, 1),
    (7, 34, 6, 3, 2, 1),
    (8, 5, 7, 1, 1, 0),
    (9, 5, 7, 1, 2, 0),
    (8, 5, 7, 1, 2, 0),
    (1, 5, 7, 3, 1, 1),
    (2, 34, 7, 3, 1, 1),
    (3, 5, 7, 3, 2, 1),
    (9, 4, 6, 5, 3, 0),
]


def plain_pool(images: Array, window: int, stride: int, padding: int) -> Array:
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(
        images, -np.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), sides
    )


def plain_convolution(images: Array, kernel: Array, stride: int, padding: int) -> Array:
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def convolution(stride: int, padding: int) -> Callable[[Array, Array], Array]:
    return lambda x, w: convolve(x, w, (stride, stride), ((padding, padding),) * 2)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("side", "window", "stride", "padding"), POOLS)
def test_max_pooling_sends_the_gradient_to_the_first_maximum_as_lax_does(
    side: int, window: int, stride: int, padding: int, dtype: str
) -> None:
    # With integers from -3 to 3, also after ReLU, nearly every window has ties.
    inputs = jax.random.randint(jax.random.key(0), (3, side, side + 2, 5), -3, 4).astype(dtype)
    forms = [
        jax.jit(lambda x, f=f: with_gradients(f, x))
        for f in (
            lambda x: max_pool(x, window, stride, padding),
            lambda x: plain_pool(x, window, stride, padding),
        )
    ]
    for values in (inputs, jnp.maximum(inputs, 0), jnp.zeros_like(inputs) - 1):
        got, expected = (form(values) for form in forms)
        np.testing.assert_array_equal(got[0], expected[0])
        # Overlapping windows sum their gradients, in a different order in bfloat16.
        assert_close(got[1:], expected[1:], 1e-6 if dtype == "float32" else 2e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "channels", "filters", "size", "stride", "padding", "batch", "dtype"),
    [(*sizes, 6, "float32") for sizes in CONVOLUTIONS[::2]]
    + [
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            *[(*sizes, 6, "float32") for sizes in CONVOLUTIONS[1::2]],
            *[(*sizes, 1, "float32") for sizes in CONVOLUTIONS[1::6]],
            *[(*sizes, 6, "bfloat16") for sizes in CONVOLUTIONS[2::5]],
        )
    ],
)
def test_a_convolution_and_its_gradients_match_lax(
    side: int,
    channels: int,
    filters: int,
    size: int,
    stride: int,
    padding: int,
    batch: int,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Small enough for a batch to be unfolded in several chunks.
    monkeypatch.setattr("hashnet_jax.layers._cpu_batch_chunks.WORKING_SET_BYTES", 2**17)
    images = random(0, batch, side, side, channels, dtype=dtype)
    kernel = random(1, size, size, channels, filters, dtype=dtype)
    got = jax.jit(lambda x, w: with_gradients(convolution(stride, padding), x, w))(images, kernel)
    expected = jax.jit(
        lambda x, w: with_gradients(lambda x, w: plain_convolution(x, w, stride, padding), x, w)
    )(images.astype(jnp.float32), kernel.astype(jnp.float32))
    expected = [value.astype(dtype) for value in expected]
    assert_close(got, expected, 1e-5 if dtype == "float32" else 3e-2)


def loss(images: Array, kernel: Array) -> Array:
    pooled = max_pool(convolution(1, 1)(images, kernel), 3, 2)
    narrow = convolve(pooled, kernel[1:2, 1:2].transpose(0, 1, 3, 2), (2, 2), "VALID")
    return jnp.sum(narrow**2)


def plain_loss(images: Array, kernel: Array) -> Array:
    pooled = plain_pool(plain_convolution(images, kernel, 1, 1), 3, 2, 0)
    narrow = plain_convolution(pooled, kernel[1:2, 1:2].transpose(0, 1, 3, 2), 2, 0)
    return jnp.sum(narrow**2)


@pytest.mark.parametrize(
    ("side", "channels", "plain_form", "plain_gradient"),
    [(2, 40, False, False), (2, 8, False, True), (8, 8, True, True), (8, 40, True, False)],
)
def test_on_a_cpu_convolutions_of_a_few_pixels_are_matrix_products(
    side: int, channels: int, plain_form: bool, plain_gradient: bool
) -> None:
    images, kernel = random(0, 2, side, side, channels), random(1, 3, 3, channels, 8)
    form = convolution(1, 1)
    gradient = jax.grad(lambda kernel, images: form(images, kernel).sum())
    forward, backward = (
        export.export(jax.jit(function), platforms=["cpu"])(*arguments).mlir_module()
        for function, arguments in ((form, (images, kernel)), (gradient, (kernel, images)))
    )
    assert ("stablehlo.convolution" in forward) == plain_form
    # The program of the gradient does not need the convolution itself.
    assert ("stablehlo.convolution" in backward) == plain_gradient


@pytest.mark.parametrize("size", [1, 3])
def test_a_program_can_be_exported_for_images_of_any_size(size: int) -> None:
    kernel, padding = random(1, size, size, 3, 4), size // 2
    shape = jax.ShapeDtypeStruct(export.symbolic_shape("b, h, w, 3"), jnp.float32)
    exported = export.export(jax.jit(lambda images: convolution(1, padding)(images, kernel)))(shape)
    for side in (2, 9):
        images = random(0, 2, side, side, 3)
        expected = plain_convolution(images, kernel, 1, padding)
        assert_close([exported.call(images)], [expected], 1e-5)


@pytest.mark.slow
def test_gradients_can_be_vmapped_and_pmapped() -> None:
    images, kernel = random(0, 8, 2, 9, 9, 3), random(1, 3, 3, 3, 4)
    gradients, plain = (jax.grad(f, argnums=(0, 1)) for f in (loss, plain_loss))
    expected = jax.vmap(plain, in_axes=(0, None))(images, kernel)
    assert_close(jax.vmap(gradients, in_axes=(0, None))(images, kernel), expected, 1e-5)
    mapped = jax.pmap(gradients, in_axes=(0, None))
    assert len(jax.local_devices()) == 8
    assert_close(mapped(images, kernel), expected, 1e-5)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_on_other_platforms_the_program_is_plain_lax(platform: str) -> None:
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 9, 9, 3), (3, 3, 3, 4))]

    def operations(f: Callable[..., Array], platform: str) -> dict[str, int]:
        gradients = jax.jit(jax.grad(f, argnums=(0, 1)))
        text = export.export(gradients, platforms=[platform])(*shapes).mlir_module()
        names = ("convolution", "select_and_scatter", "reduce_window", "dot_general", "while")
        return {name: text.count(f"stablehlo.{name}") for name in names}

    elsewhere = operations(loss, platform)
    assert elsewhere == operations(plain_loss, platform)
    assert elsewhere["select_and_scatter"] == 1
    assert elsewhere["dot_general"] == 0
    on_cpu = operations(loss, "cpu")
    assert on_cpu["select_and_scatter"] == on_cpu["reduce_window"] == 0
    assert on_cpu["dot_general"] > 0
    compiled = jax.jit(jax.grad(loss)).lower(*shapes).compile().as_text()
    assert "conditional" not in compiled, "the platform is chosen before the program runs"


@pytest.mark.slow
@pytest.mark.parametrize("working_set", [1, 2**24])
def test_a_checking_shard_map_sums_the_kernels_gradient_over_devices(
    working_set: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashnet_jax.layers._cpu_batch_chunks.WORKING_SET_BYTES", working_set)
    images, kernel = random(0, 8, 9, 9, 3), random(1, 3, 3, 3, 4)
    gradient = jax.grad(lambda kernel, images: loss(images, kernel))
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    mapped = jax.jit(
        jax.shard_map(gradient, mesh=mesh, in_specs=(spec(), spec("d")), out_specs=spec())
    )
    assert_close([mapped(kernel, images)], [gradient(kernel, images)], 1e-5)


def test_a_program_exported_for_several_platforms_runs_on_this_one() -> None:
    images, kernel = random(0, 2, 9, 9, 3), random(1, 3, 3, 3, 4)
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    both = export.export(gradients, platforms=["cpu", "cuda"])(images, kernel)
    assert_close(both.call(images, kernel), gradients(images, kernel), 1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("feature_group_count", 2), ("rhs_dilation", (2, 2)), ("precision", "highest")],
)
def test_unsupported_convolution_options_are_rejected(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be .*use flax"):
        convolve(jnp.ones((1, 5, 5, 4)), jnp.ones((3, 3, 4, 4)), (1, 1), "SAME", **{name: value})


def test_inside_plain_layers_the_program_for_a_cpu_is_plain_and_traced_again() -> None:
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 9, 9, 3), (3, 3, 3, 4))]
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    before = gradients.lower(*shapes).as_text()
    with plain_layers():
        inside = gradients.lower(*shapes).as_text()
    plain = jax.jit(jax.grad(plain_loss, argnums=(0, 1))).lower(*shapes).as_text()
    assert gradients.lower(*shapes).as_text() == before
    for name in ("convolution", "select_and_scatter", "dot_general", "while", "case"):
        count = inside.count(f"stablehlo.{name}")
        assert count == plain.count(f"stablehlo.{name}")
        assert count != before.count(f"stablehlo.{name}") or not count


def test_inside_plain_layers_derivatives_can_be_taken_forward() -> None:
    images, kernel = random(0, 2, 9, 9, 3), random(1, 3, 3, 3, 4)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: loss(x, kernel), (images,), (images,))
    with plain_layers():
        value, tangent = jax.jvp(lambda x: loss(x, kernel), (images,), (images,))
    gradient = jax.grad(plain_loss)(images, kernel)
    assert_close([value, tangent], [plain_loss(images, kernel), jnp.vdot(gradient, images)], 1e-5)
