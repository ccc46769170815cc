"""Measures the train step, from images to updated parameters, of this package or of PyTorch."""

import argparse
from collections.abc import Iterator

import jax
import numpy as np

from benchmarks.measuring import Row, count_flops, measure, missing
from hashnet_jax import ModelSpec
from hashnet_jax.distributed.devices import local_devices, map_step
from hashnet_jax.training import TrainSpec, init_state, train_step

# Keyword arguments for benchmarks.torch_peers.Peer.
PEERS: dict[str, dict[str, bool]] = {
    "PyTorch eager": {},
    "PyTorch eager, channels_last": {"channels_last": True},
    "PyTorch compile": {"compiled": True},
}


def contenders(options: argparse.Namespace) -> list[str]:
    """Returns the names of the contenders that ``--peers`` selects."""
    peers = {
        "all": list(PEERS),
        "eager": [name for name, settings in PEERS.items() if "compiled" not in settings],
        "none": [],
    }
    return ["hashnet_jax", *peers[options.peers]]


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measures the contender ``options.only``."""
    for backbone in options.backbone:
        row = Row("train", case_name(backbone, options), options.only, unit="images")
        row.items = options.batch_size
        if options.only == "hashnet_jax":
            step = JaxStep(backbone, options)
            row.flops = step.flops() / options.devices
            yield from measure([(row, step)], options.repeats)
        else:
            yield from measure_peer(row, backbone, "train_step", options)


def case_name(backbone: str, options: argparse.Namespace) -> str:
    size = f"batch {options.batch_size}, {options.image_size} px, {options.dtype}"
    return f"{backbone}, {size}, {options.devices} device(s)"


def model_spec(backbone: str, options: argparse.Namespace) -> ModelSpec:
    size = options.image_size
    return ModelSpec(backbone, options.bits, image_size=size, resize=size, dtype=options.dtype)


def random_batch(n: int, size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, size, size, 3), np.uint8)
    return {"image": images, "label": rng.integers(0, 10, n)}


class JaxStep:
    """The compiled train step, which keeps its state on the devices as in training."""

    def __init__(self, backbone: str, options: argparse.Namespace):
        devices = local_devices(options.devices)
        self.state = init_state(
            jax.random.key(0), model_spec(backbone, options), TrainSpec(learning_rate=1e-5)
        )
        self.batch = random_batch(options.batch_size, options.image_size)
        self.step = map_step(train_step, devices)

    def flops(self) -> float:
        return count_flops(train_step, self.state, self.batch)

    def __call__(self) -> jax.Array:
        self.state, metrics = self.step(self.state, self.batch)
        return metrics["loss"]


def measure_peer(
    row: Row, backbone: str, method: str, options: argparse.Namespace
) -> Iterator[Row]:
    """Measures PyTorch.

    Args:
      row: row to fill; ``row.by`` names one of ``PEERS``.
      backbone: name of the backbone.
      method: method of the peer to time, ``"train_step"`` or ``"encode"``.
      options: options of `run.py`.

    Yields:
      The row, with a note that gives the reason if the peer cannot run on this machine.
    """
    try:
        from benchmarks.torch_peers import Peer

        batch = random_batch(options.batch_size, options.image_size)
        peer = Peer(backbone, batch, options.bits, dtype=options.dtype, **PEERS[row.by])
    except (ImportError, RuntimeError) as error:
        yield missing(row.suite, row.case, row.by, error)
        return
    yield from measure([(row, getattr(peer, method))], options.repeats)
