"""Tests the programs for GPUs and TPUs, which can be lowered, though not run, on any machine."""

import re
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from hashnet_jax import ModelSpec, encode
from hashnet_jax.training import TrainSpec, init_state, train_step

# The states hold shapes in place of arrays.
pytestmark = [pytest.mark.slow, pytest.mark.bad_input]

BATCH_SIZE = 16
PLATFORMS = ("cuda", "tpu")
# AlexNet has dense layers, pooling and dropout, ResNet batch normalization and shortcuts, and
# EfficientNet depthwise convolutions.
BACKBONES = ("alexnet", "resnet18", "efficientnet_lite0")
# Squeeze-and-excitation, wide depthwise convolutions, attention with resampled and with rotary
# positions, and attention pooling.
FOUNDATION_MODELS = ("mobilenetv3_large", "convnext_t", "dinov2_s14", "dinov3_s16", "siglip_b16")

# Operations by which a program would wait for its host.
OF_THE_HOST = ("custom_call", "infeed", "outfeed", "send", "recv")
# Operations of JAX's implementations for CPUs only: loops over tiles.
OF_CPU_FORMS = ("while", "scatter", "dynamic_slice", "dynamic_update_slice")

OPERATION = re.compile(r"stablehlo\.(\w+)")


def shapes(backbone, dtype, *devices):
    """Shapes of a train state and of a batch for each device."""
    spec = ModelSpec.for_backbone(backbone, dtype=dtype)
    state = jax.eval_shape(lambda: init_state(jax.random.key(0), spec, TrainSpec(total_steps=10)))
    images = (*devices, BATCH_SIZE, spec.image_size, spec.image_size, 3)
    batch = {
        "image": jax.ShapeDtypeStruct(images, jnp.uint8),
        "label": jax.ShapeDtypeStruct((*devices, BATCH_SIZE), jnp.int32),
    }
    return state, batch


def kernels(state, n_axes):
    """The number of convolutions (4 axes) or dense layers (2 axes)."""
    leaves = jax.tree.leaves_with_path(state.params.variables["params"])
    return sum(path[-1].key == "kernel" and leaf.ndim == n_axes for path, leaf in leaves)


def dtypes_of(operation, text):
    """How often an operation computes a result of each dtype."""
    return Counter(re.findall(rf"stablehlo\.{operation}\b.*-> tensor<(?:\d+x)*(\w+)>", text))


def check_plain_step(text, state, dtype):
    counts = Counter(OPERATION.findall(text))
    short = {"float32": "f32", "bfloat16": "bf16"}[dtype]
    # Each layer is computed once, and once each for the gradients with respect to its kernel and to
    # its input; but nothing needs the gradient with respect to the images.
    assert dtypes_of("convolution", text) == {short: 3 * kernels(state, 4) - 1}
    # The inner products of the codes with their two gradients, and those of the signs, in float32.
    of_loss, of_layers = 4, 3 * kernels(state, 2)
    expected = Counter({short: of_layers}) + Counter({"f32": of_loss})
    assert dtypes_of("dot_general", text) == expected
    assert not {name: counts[name] for name in (*OF_CPU_FORMS, *OF_THE_HOST) if counts[name]}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_train_step_is_plain_and_donates_its_state_on_accelerators(backbone, dtype):
    state, batch = shapes(backbone, dtype)
    traced = jax.jit(train_step, donate_argnums=0).trace(state, batch)
    for platform in PLATFORMS:
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        check_plain_step(text, state, dtype)
        (signature,) = re.findall(r"func\.func public @main\(.*", text)
        assert signature.count("tf.aliasing_output") == len(jax.tree.leaves(state))
    on_cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
    with pytest.raises(AssertionError):  # the check notices the implementations for CPUs
        check_plain_step(on_cpu, state, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", [*BACKBONES, *FOUNDATION_MODELS])
def test_encode_is_plain_on_accelerators(backbone, dtype):
    state, batch = shapes(backbone, dtype)
    traced = jax.jit(encode).trace(state.params, batch["image"])
    short = {"float32": "f32", "bfloat16": "bf16"}[dtype]
    for platform in PLATFORMS:
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert dtypes_of("convolution", text) == {short: kernels(state, 4)}
        assert dtypes_of("dot_general", text)[short] >= kernels(state, 2)
        counts = Counter(OPERATION.findall(text))
        assert not {name: counts[name] for name in (*OF_CPU_FORMS, *OF_THE_HOST) if counts[name]}


@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
def test_a_step_on_8_devices_communicates_no_more_than_the_loss_needs(backbone):
    state, batch = shapes(backbone, "float32", 8)
    step = jax.pmap(
        partial(train_step, axis_name="devices"),
        axis_name="devices", in_axes=(None, 0), out_axes=None, donate_argnums=0,
    )  # fmt: skip
    counts = Counter(OPERATION.findall(step.lower(state, batch).as_text()))
    # The labels, the relaxed codes and the signs; and the gradient with respect to the codes.
    assert counts["all_gather"] == 3
    assert counts["reduce_scatter"] == 1
    gradients = len(jax.tree.leaves(state.params.variables["params"]))
    # Mean and mean square in one sum, which also has a gradient.
    batch_norms = 2 * (len(jax.tree.leaves(state.params.variables["batch_stats"])) // 2)
    # |S1| and |S0|, the denominators of two losses, four metrics, and how often each bit is set.
    scalars = 2 + 2 + 4 + 1
    assert counts["all_reduce"] == gradients + batch_norms + scalars
    assert not {name: counts[name] for name in (*OF_THE_HOST, "all_to_all") if counts[name]}
