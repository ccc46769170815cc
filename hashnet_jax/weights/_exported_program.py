"""What an exported program computes, and its description."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export
from jaxtyping import Float, UInt8

import hashnet_jax
from hashnet_jax.codes import BIT_ORDER, bytes_per_code
from hashnet_jax.model import HashNetParams, ModelSpec, logits, preprocess

# Names of the input and the outputs.
INPUT, OUTPUTS = "images", ("logits", "codes")

Images = UInt8[Array | np.ndarray, "B R R 3"]
Program = Callable[[Images], tuple[Float[Array, "B K"], UInt8[Array, "B bytes"]]]


def program_of(params: HashNetParams) -> Program:
    """Returns the program that computes logits and packed codes, with the weights as constants."""

    def program(images: Images) -> tuple[Float[Array, "B K"], UInt8[Array, "B bytes"]]:
        z = logits(params, preprocess(images, params.spec))
        return z, _packed_signs(z)

    return program


def _packed_signs(z: Float[Array, "B K"]) -> UInt8[Array, "B bytes"]:
    """Computes ``pack_bits(binarize(z))`` as a matrix product.

    jax2onnx cannot convert the padding and the bit shifts of ``pack_bits`` if the batch size is
    symbolic. The product is exact, even in bfloat16: it sums distinct powers of two below 256.
    """
    place = np.arange(z.shape[-1])
    weights = np.zeros((len(place), bytes_per_code(len(place))), np.float32)
    weights[place, place // 8] = 2.0 ** (7 - place % 8)
    return ((z >= 0).astype(jnp.float32) @ weights).astype(jnp.uint8)


def input_shape(spec: ModelSpec) -> jax.ShapeDtypeStruct:
    """Returns the shape of the program's input, with a symbolic batch size."""
    side = spec.resize
    return jax.ShapeDtypeStruct(export.symbolic_shape(f"B, {side}, {side}, 3"), np.uint8)


def describe(spec: ModelSpec, weights_sha256: str) -> dict[str, Any]:
    """Describes an exported program to those who call it; all values can be written as JSON."""
    side = spec.resize
    return {
        "input": f"{INPUT}, uint8 RGB [B, {side}, {side}, 3]: decode, apply the EXIF orientation, "
        f"and resize to {side} x {side} with antialiased bilinear interpolation, ignoring the "
        "aspect ratio; the program crops and normalizes",
        "outputs": f"{OUTPUTS[0]}, float32 [B, {spec.bits}], and {OUTPUTS[1]}, their packed signs, "
        f"uint8 [B, {bytes_per_code(spec.bits)}]",
        "bits": spec.bits,
        "bit_order": BIT_ORDER,
        "sign_of_zero": 1,
        "backbone": spec.backbone,
        "image_size": spec.image_size,
        "resize": spec.resize,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "dtype": spec.dtype,
        "weights_sha256": weights_sha256,
        "package": f"hashnet_jax {hashnet_jax.__version__}",
    }
