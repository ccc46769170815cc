"""Compares the train step, from images to updated parameters, with PyTorch."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

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


def run(options: argparse.Namespace) -> Iterator[Row]:
    for backbone in options.backbone:
        case = (
            f"{backbone}, batch {options.batch_size}, {options.image_size} px, {options.dtype}, "
            f"{options.devices} device(s)"
        )
        contenders, absent = ready_peers("train", case, backbone, options, "train_step")
        if is_included("hashnet_jax", options):
            step = JaxStep(backbone, options)
            row = Row("train", case, "hashnet_jax", items=options.batch_size, unit="images")
            row.flops = step.flops() / options.devices
            contenders.insert(0, (row, step))
        yield from measure(contenders, options.repeats)
        yield from absent


def is_included(name: str, options: argparse.Namespace) -> bool:
    """Returns whether to measure this contender, according to ``--only``."""
    return options.only in (None, name)


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


def ready_peers(
    suite: str, case: str, backbone: str, options: argparse.Namespace, method: str
) -> tuple[list[tuple[Row, Callable[[], Any]]], list[Row]]:
    """Prepares the requested PyTorch peers.

    Args:
      suite: name of the suite.
      case: case label for the rows.
      backbone: name of the backbone.
      options: options of `run.py`.
      method: method of the peer to time, ``"train_step"`` or ``"encode"``.

    Returns:
      Pairs of a row and a function for the peers that can run on this machine, and rows that
      explain why the others cannot.
    """
    ready, absent = [], []
    for name in _requested_peers(options):
        try:
            from benchmarks.torch_peers import Peer

            batch = random_batch(options.batch_size, options.image_size)
            peer = Peer(backbone, batch, options.bits, dtype=options.dtype, **PEERS[name])
        except (ImportError, RuntimeError) as error:
            absent.append(missing(suite, case, name, error))
            continue
        row = Row(suite, case, name, items=options.batch_size, unit="images")
        ready.append((row, {"train_step": peer.train_step, "encode": peer.encode}[method]))
    return ready, absent


def _requested_peers(options: argparse.Namespace) -> list[str]:
    return [
        name
        for name, settings in PEERS.items()
        if options.peers == "all" or (options.peers == "eager" and "compiled" not in settings)
        if is_included(name, options)
    ]
