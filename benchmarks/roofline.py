"""Estimates the fastest possible train step and encoding on accelerators, from their data sheets.

    python benchmarks/roofline.py --backbone alexnet resnet50 --dtype bfloat16

Each operation takes at least the time of its FLOPs at the device's peak, and at least the time to
read its operands and to write its results at the bandwidth of the device's memory (the roofline
model). The estimate is the sum over all convolutions, matrix products and reductions, and the
update of the parameters. Other element-wise operations are assumed to be fused into these, and no
result to stay in a cache. Measurements are slower: small operations do not fill a device, and
starting them takes time.

References:
  Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
  Architectures", Communications of the ACM 52(4), 2009.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import hashnet_jax
from benchmarks.measuring import PEAK_FLOPS, known_device
from benchmarks.suite_train import model_spec
from hashnet_jax.layers import plain_layers
from hashnet_jax.training import TrainSpec, init_state, train_step

# Bytes per second of the device's memory, from the same data sheets as `PEAK_FLOPS`.
BANDWIDTH = {
    "H200": 4.8e12,
    "H100": 3.35e12,
    "A100": 2.039e12,
    "L4": 300e9,
    "TPU v6 lite": 1.64e12,
    "TPU v5 lite": 819e9,
    "TPU v5p": 2.765e12,
    "TPU v4": 1.2e12,
}

REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_window_max", "select_and_scatter_add")


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of a program.

    Attributes:
      name: name of the JAX primitive.
      flops: its FLOPs, counting a multiplication and an addition as two.
      moved: bytes of its operands and results.
    """

    name: str
    flops: float
    moved: float

    def seconds(self, peak: float, bandwidth: float) -> float:
        """Returns a lower bound of its time on a device with this peak FLOP/s and bytes/s."""
        return max(self.flops / peak, self.moved / bandwidth)


def operations(
    function: Callable[..., Any], *arguments: Any, dtype: str = "float32"
) -> list[Operation]:
    """Returns the operations of a call that are not element-wise.

    Args:
      function: a function that JAX can trace.
      arguments: its arguments; arrays can be replaced by ``jax.ShapeDtypeStruct``.
      dtype: dtype in which activations are stored. Reductions convert them to float32 only as they
        read them.

    Examples:
      >>> matrix = jax.ShapeDtypeStruct((8, 4), "float32")
      >>> (product,) = operations(lambda a: 2 * (a @ a.T), matrix)
      >>> product.flops, product.moved  # 2 * 8 * 8 * 4; (32 + 32 + 64) floats
      (512.0, 512.0)
    """
    with plain_layers():
        traced = jax.make_jaxpr(function)(*arguments)
    return list(_walk(traced.jaxpr, 1, jnp.dtype(dtype).itemsize))


def _walk(jaxpr: Any, times: int, width: int) -> Iterator[Operation]:
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner_times = times * equation.params["length"] if name == "scan" else times
        inner = [
            getattr(value, "jaxpr", value)
            for value in equation.params.values()
            if hasattr(getattr(value, "jaxpr", value), "eqns")
        ]
        if name in ("conv_general_dilated", "dot_general", *REDUCTIONS):
            widest = width if name in REDUCTIONS else 8
            variables = (*equation.invars, *equation.outvars)
            moved = sum(_bytes(variable, widest) for variable in variables)
            yield Operation(name, float(times * _flops(equation)), float(times * moved))
        else:
            for part in inner:
                yield from _walk(part, inner_times, width)


def _bytes(variable: Any, widest: int) -> int:
    return math.prod(variable.aval.shape) * min(widest, variable.aval.dtype.itemsize)


def _flops(equation: Any) -> float:
    """Counts the FLOPs of products. Reductions are bound by memory, so theirs count as none."""
    outputs = math.prod(equation.outvars[0].aval.shape)
    left, right = (equation.invars[i].aval.shape for i in (0, -1))
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * outputs * math.prod(left[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        filters = right[equation.params["dimension_numbers"].rhs_spec[0]]
        # The zeros between the pixels of a dilated operand need no multiplications.
        useful = outputs / math.prod(equation.params["lhs_dilation"])
        return 2 * useful * math.prod(right) / filters
    return 0


def train_operations(backbone: str, options: argparse.Namespace) -> list[Operation]:
    spec = model_spec(backbone, options)
    params, _ = _shapes(lambda: hashnet_jax.init(jax.random.key(0), spec))
    state, structure = _shapes(lambda: init_state(jax.random.key(0), spec, TrainSpec()))
    step = operations(
        lambda leaves, batch: train_step(structure.unflatten(leaves), batch),
        state,
        _batch(options),
        dtype=options.dtype,
    )
    # The update reads and writes the state, and reads the gradients.
    return [*step, Operation("update", 0.0, 2.0 * _total_bytes(state) + _total_bytes(params))]


def encode_operations(backbone: str, options: argparse.Namespace) -> list[Operation]:
    spec = model_spec(backbone, options)
    params, structure = _shapes(lambda: hashnet_jax.init(jax.random.key(0), spec))
    return operations(
        lambda leaves, images: hashnet_jax.encode(structure.unflatten(leaves), images),
        params,
        _batch(options)["image"],
        dtype=options.dtype,
    )


def _shapes(make: Callable[[], Any]) -> tuple[list[jax.ShapeDtypeStruct], Any]:
    """Returns the shapes of a pytree's leaves and its structure, without computing the leaves.

    The leaves come apart from the structure because run-time type checks reject a pytree of shapes.
    """
    structures = []

    def leaves() -> list[jax.Array]:
        found, structure = jax.tree.flatten(make())
        structures.append(structure)
        return found

    return jax.eval_shape(leaves), structures[-1]


def _total_bytes(shapes: Sequence[jax.ShapeDtypeStruct]) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in shapes)


COUNTS = {"train": train_operations, "encode": encode_operations}


def _batch(options: argparse.Namespace) -> dict[str, jax.ShapeDtypeStruct]:
    size = (options.batch_size, options.image_size, options.image_size, 3)
    return {
        "image": jax.ShapeDtypeStruct(size, "uint8"),
        "label": jax.ShapeDtypeStruct(size[:1], "int32"),
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--backbone", nargs="+", default=["alexnet", "resnet50"], help="(default: %(default)s)")
    add("--batch-size", type=int, default=64, metavar="B", help="(default: %(default)s)")
    add("--image-size", type=int, default=224, metavar="S", help="pixels (default: %(default)s)")
    add("--bits", type=int, default=64, metavar="K", help="bits per code (default: %(default)s)")
    add("--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="(default: bfloat16)")
    add("--device", nargs="+", choices=BANDWIDTH, default=list(BANDWIDTH), help="(default: all)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    print(f"images/s at most, batch {options.batch_size}, {options.image_size} px, {options.dtype}")
    for backbone in options.backbone:
        for what, count in COUNTS.items():
            found = count(backbone, options)
            flops, moved = (sum(getattr(op, field) for op in found) for field in ("flops", "moved"))
            print(f"{backbone}, {what}: {flops / 1e9:.0f} GFLOP, {moved / 2**30:.2f} GiB moved")
            for device in options.device:
                seconds, by_memory = bound(found, device, options.dtype)
                rate = options.batch_size / seconds
                print(f"  {device:12} {rate:10,.0f} images/s, {by_memory:.0%} bound by memory")


def bound(found: Sequence[Operation], device: str, dtype: str) -> tuple[float, float]:
    """Returns the least time of these operations in seconds, and the share bound by memory.

    Args:
      found: operations, see :func:`operations`.
      device: one of ``BANDWIDTH``.
      dtype: ``"float32"`` or ``"bfloat16"``.
    """
    peak, bandwidth = PEAK_FLOPS[device], BANDWIDTH[device]
    if dtype == "float32" and not device.startswith("TPU"):
        peak /= 2  # XLA multiplies in TF32 on NVIDIA GPUs, and in bfloat16 on TPUs.
    seconds = sum(op.seconds(peak, bandwidth) for op in found)
    by_memory = sum(op.moved / bandwidth for op in found if op.moved / bandwidth > op.flops / peak)
    return seconds, by_memory / seconds


def note(suite: str, backbone: str, rate: float, options: argparse.Namespace) -> str:
    """Relates a measured rate to the estimate for this device.

    Args:
      suite: one of ``COUNTS``.
      backbone: name of the backbone.
      rate: measured images/s of all devices.
      options: options of `run.py`.

    Returns:
      A note such as "38% of the roofline", or nothing if the device's bandwidth is not known.
    """
    device = known_device(BANDWIDTH)
    if device is None:
        return ""
    seconds, _ = bound(COUNTS[suite](backbone, options), device, options.dtype)
    return f"{rate * seconds / (options.batch_size * options.devices):.0%} of the roofline"


if __name__ == "__main__":
    main()
