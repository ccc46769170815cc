"""The forms of max-pooling and convolution that the CPU takes, against those of jax.lax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from hashnet_jax.backbones import winograd
from hashnet_jax.backbones.convolution import convolve
from hashnet_jax.backbones.pooling import max_pool

# side, window, stride, padding
POOLS = [
    (55, 3, 2, 0),
    (14, 3, 2, 0),
    (16, 3, 2, 1),
    (9, 3, 2, 1),
    (8, 2, 2, 0),
    (7, 2, 2, 0),
]

# side, C, F, k, stride, padding: each kind that a backbone has, with odd and even sides
CONVOLUTIONS = [
    (63, 3, 8, 11, 4, 2),
    (15, 4, 6, 5, 1, 2),
    (13, 8, 5, 3, 1, 1),
    (32, 3, 8, 7, 2, 3),
    (33, 3, 8, 7, 2, 3),
    (14, 4, 6, 3, 2, 1),
    (7, 4, 6, 3, 2, 1),
    (8, 5, 7, 1, 1, 0),
    (9, 5, 7, 1, 2, 0),
    (8, 5, 7, 1, 2, 0),
    (1, 5, 7, 3, 1, 1),
]


def plain_pool(inputs, window, stride, padding):
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(
        inputs, -np.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), sides
    )


def plain_convolution(images, kernel, stride, padding):
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def ours(stride, padding):
    return lambda x, w: convolve(x, w, (stride, stride), ((padding, padding),) * 2)


def with_gradients(function, *inputs):
    outputs, gradients = jax.vjp(function, *inputs)
    key = jax.random.key(3)
    return outputs, *gradients(jax.random.normal(key, outputs.shape).astype(outputs.dtype))


def assert_close(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-3))


def random(seed, *shape, dtype=jnp.float32):
    return jax.random.normal(jax.random.key(seed), shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("side", "window", "stride", "padding"), POOLS)
def test_max_pooling_sends_the_gradient_to_the_first_maximum_as_lax_does(
    side, window, stride, padding, dtype
):
    # Whole numbers from -3 to 3, negative ones cut off: nearly every window has ties.
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
        # An input in several windows adds up their shares, in bfloat16 in another order.
        assert_close(got[1:], expected[1:], 1e-6 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize(
    ("side", "channels", "filters", "size", "stride", "padding", "batch", "dtype"),
    [(*sizes, 6, "float32") for sizes in CONVOLUTIONS]
    + [(*sizes, 1, "float32") for sizes in CONVOLUTIONS[1::6]]
    + [(*sizes, 6, "bfloat16") for sizes in CONVOLUTIONS[2::5]],
)
def test_a_convolution_and_its_gradients_are_those_of_lax(
    side, channels, filters, size, stride, padding, batch, dtype, monkeypatch
):
    # So small that a batch is unfolded in parts.
    monkeypatch.setattr("hashnet_jax.backbones.parts.UNFOLDED", 2**17)
    images = random(0, batch, side, side, channels, dtype=dtype)
    kernel = random(1, size, size, channels, filters, dtype=dtype)
    got = jax.jit(lambda x, w: with_gradients(ours(stride, padding), x, w))(images, kernel)
    expected = jax.jit(
        lambda x, w: with_gradients(lambda x, w: plain_convolution(x, w, stride, padding), x, w)
    )(images.astype(jnp.float32), kernel.astype(jnp.float32))
    expected = [value.astype(dtype) for value in expected]
    assert_close(got, expected, 1e-5 if dtype == "float32" else 3e-2)


# side, C, F, k, stride, padding, batch: tiles that end with the image and that reach beyond it
WINOGRAD = [
    (12, 64, 64, 3, 1, ((1, 1), (1, 1)), 6),
    (24, 64, 70, 3, 1, ((0, 1), (2, 0)), 2),
    (27, 64, 64, 5, 1, ((2, 2), (1, 4)), 3),
    (63, 3, 64, 11, 4, ((2, 0), (1, 3)), 3),
]


@pytest.mark.parametrize(
    ("side", "channels", "filters", "size", "stride", "padding", "batch"), WINOGRAD
)
def test_winograds_form_and_its_gradients_are_those_of_lax(
    side, channels, filters, size, stride, padding, batch, monkeypatch
):
    # In parts; where the batch is of two, it is unfolded whole.
    monkeypatch.setattr("hashnet_jax.backbones.parts.UNFOLDED", 2**20 if batch > 2 else 2**26)
    images = random(0, batch, side, side, channels)
    kernel = random(1, size, size, channels, filters)
    strides = (stride, stride)
    assert winograd.is_faster(images, kernel, (strides, padding))

    def plain(images, kernel):
        return lax.conv_general_dilated(
            images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    taken = jax.jit(
        lambda x, w: with_gradients(lambda x, w: convolve(x, w, strides, padding), x, w)
    )
    assert taken.lower(images, kernel).as_text().count("stablehlo.convolution") == 0
    expected = jax.jit(lambda x, w: with_gradients(plain, x, w))(images, kernel)
    assert_close(taken(images, kernel), expected, 2e-5 if size == 5 else 2e-6)


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
def test_winograds_form_is_not_taken_for_other_convolutions(shape, size, strides, dtype):
    images = jax.ShapeDtypeStruct(shape, dtype)
    kernel = jax.ShapeDtypeStruct((size, size, shape[-1], 64), dtype)
    assert not winograd.is_faster(images, kernel, (strides, ((1, 1), (1, 1))))


def loss(images, kernel):
    pooled = max_pool(ours(1, 1)(images, kernel), 3, 2)
    narrow = convolve(pooled, kernel[1:2, 1:2].transpose(0, 1, 3, 2), (2, 2), "VALID")
    return jnp.sum(narrow**2)


def plain_loss(images, kernel):
    pooled = plain_pool(plain_convolution(images, kernel, 1, 1), 3, 2, 0)
    narrow = plain_convolution(pooled, kernel[1:2, 1:2].transpose(0, 1, 3, 2), 2, 0)
    return jnp.sum(narrow**2)


def test_gradients_can_be_vmapped_and_pmapped():
    images, kernel = random(0, 8, 2, 9, 9, 3), random(1, 3, 3, 3, 4)
    gradients, plain = (jax.grad(f, argnums=(0, 1)) for f in (loss, plain_loss))
    expected = jax.vmap(plain, in_axes=(0, None))(images, kernel)
    assert_close(jax.vmap(gradients, in_axes=(0, None))(images, kernel), expected, 1e-5)
    mapped = jax.pmap(gradients, in_axes=(0, None))
    assert len(jax.local_devices()) == 8
    assert_close(mapped(images, kernel), expected, 1e-5)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_elsewhere_than_on_the_cpu_the_program_is_the_plain_one(platform):
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 9, 9, 3), (3, 3, 3, 4))]

    def operations(f, platform):
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


@pytest.mark.parametrize("part", [1, 2**24])
def test_in_a_shard_map_that_checks_the_kernels_gradient_is_summed_over_devices(part, monkeypatch):
    monkeypatch.setattr("hashnet_jax.backbones.parts.UNFOLDED", part)
    images, kernel = random(0, 8, 9, 9, 3), random(1, 3, 3, 3, 4)
    gradient = jax.grad(lambda kernel, images: loss(images, kernel))
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    mapped = jax.jit(
        jax.shard_map(gradient, mesh=mesh, in_specs=(spec(), spec("d")), out_specs=spec())
    )
    assert_close([mapped(kernel, images)], [gradient(kernel, images)], 1e-5)


def test_a_program_exported_for_several_platforms_still_runs_here():
    images, kernel = random(0, 2, 9, 9, 3), random(1, 3, 3, 3, 4)
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    both = export.export(gradients, platforms=["cpu", "cuda"])(images, kernel)
    assert_close(both.call(images, kernel), gradients(images, kernel), 1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("feature_group_count", 2), ("rhs_dilation", (2, 2)), ("precision", "highest")],
)
def test_what_the_forms_do_not_know_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*use flax"):
        convolve(jnp.ones((1, 5, 5, 4)), jnp.ones((3, 3, 4, 4)), (1, 1), "SAME", **{name: value})
