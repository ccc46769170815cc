"""Converts a program to ONNX with jax2onnx.

jax2onnx replaces functions of NumPy's API in JAX, and layers of Flax, while it traces a program.
Not all replacements behave like the originals: `jnp.shape` returns a traced array, and Flax's
`max_pool` ignores explicit padding. The program is therefore traced beforehand, and jax2onnx
converts only JAX's primitives.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import onnx_ir
from jax.extend.core import jaxpr_as_fun
from jax2onnx import to_onnx
from jax2onnx.plugins.plugin_system import (
    PLUGIN_REGISTRY,
    PrimitiveLeafPlugin,
    import_all_plugins,
)

from hashnet_jax.layers import plain_layers
from hashnet_jax.weights._exported_program import INPUT, OUTPUTS, Program

# Supported since onnxruntime 1.14. The format of the file itself, IR version 10, needs 1.18.
OPSET = 18

_MAX_POOL = "reduce_window_max"
_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def convert(program: Program, shape: jax.ShapeDtypeStruct, facts: Mapping[str, Any]) -> bytes:
    """Converts a program to the content of an ONNX file.

    Args:
      program: the function to convert.
      shape: shape of its input, whose batch size may be symbolic.
      facts: metadata; values that are not strings are written as JSON.

    Returns:
      The serialized ONNX model.

    Raises:
      NotImplementedError: if jax2onnx cannot convert an operation of the program.
    """
    with plain_layers():
        traced = jax.make_jaxpr(program)(shape)
    with _max_pool_of_images(), _without_warnings("onnx_ir.serde"):
        model = to_onnx(
            jaxpr_as_fun(traced),
            [shape],
            model_name="hashnet",
            opset=OPSET,
            input_names=[INPUT],
            output_names=OUTPUTS,
        )
    for name, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=name, value=text)
    return model.SerializeToString()


class _MaxPool(PrimitiveLeafPlugin):
    """Converts max pooling of images [B, H, W, C].

    jax2onnx's own conversion pools over all four axes, which onnxruntime does not support. It
    converts all other max pooling.
    """

    def __init__(self, original: Any) -> None:
        self._original = original

    def lower(self, ctx: Any, eqn: Any) -> None:
        if not _pools_images(eqn):
            self._original.lower(ctx, eqn)
            return
        (images,), (pooled,) = eqn.invars, eqn.outvars
        window, strides, padding = (
            eqn.params[name][1:3] for name in ("window_dimensions", "window_strides", "padding")
        )
        before, after = zip(*padding, strict=True)
        build, source = ctx.builder, ctx.get_value_for_var(images)

        def described(value: Any, shape: Any) -> Any:
            sizes = [size if isinstance(size, int) else str(size) for size in shape]
            value.type, value.shape = source.type, onnx_ir.Shape(sizes)
            return value

        def name() -> list[str]:
            return [ctx.fresh_name("max_pool")]

        batch, height, width, channels = images.aval.shape
        moved = build.Transpose(source, perm=_CHANNELS_FIRST, _outputs=name())
        moved = described(moved, (batch, channels, height, width))
        result = build.MaxPool(
            moved, kernel_shape=window, strides=strides, pads=before + after, _outputs=name()
        )
        batch, height, width, channels = pooled.aval.shape
        result = described(result, (batch, channels, height, width))
        result = build.Transpose(result, perm=_CHANNELS_LAST, _outputs=name())
        ctx.bind_value_for_var(pooled, described(result, pooled.aval.shape))


def _pools_images(eqn: Any) -> bool:
    """Returns whether max pooling moves a dense window over the axes 1 and 2 of [B, H, W, C]."""
    padding = eqn.params["padding"]
    if len(padding) != 4:
        return False
    alone = all(
        (eqn.params["window_dimensions"][axis], eqn.params["window_strides"][axis], padding[axis])
        == (1, 1, (0, 0))
        for axis in (0, 3)
    )
    dilations = (*eqn.params["base_dilation"], *eqn.params["window_dilation"])
    return alone and set(dilations) == {1}


@contextlib.contextmanager
def _max_pool_of_images() -> Iterator[None]:
    """Replaces jax2onnx's conversion of max pooling within the context."""
    import_all_plugins()
    original = PLUGIN_REGISTRY[_MAX_POOL]
    PLUGIN_REGISTRY[_MAX_POOL] = _MaxPool(original)
    try:
        yield
    finally:
        PLUGIN_REGISTRY[_MAX_POOL] = original


@contextlib.contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Silences a logger's warnings, here about intermediate values without a type."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
