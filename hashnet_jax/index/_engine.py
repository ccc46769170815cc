"""Engines that encode the pictures found by an update, on this machine or on others."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.devices import Device, local_devices
from hashnet_jax.index._stream import Files, Paths, check_batch_size, encode_files
from hashnet_jax.model import HashNetParams, check_finite
from hashnet_jax.weights import load, read_spec

# Batches `(paths, files, packed)` in any order: for each path, the state of its file or the reason
# that it cannot be read; and the packed codes of the n readable pictures, uint8 [n, ceil(K/8)].
Encoded = Iterator[tuple[Paths, Files, UInt8[np.ndarray, "n bytes"]]]

# An engine takes a run folder and a stream of paths, and yields each path once.
Engine = Callable[[str | Path, Iterator[str]], Encoded]


@dataclasses.dataclass(frozen=True)
class LocalEngine:
    """Encodes pictures on this machine, keeping only a few batches in memory at a time.

    All batches have the same shape, so the network is compiled once, and the code of a picture does
    not depend on which other pictures are encoded with it.

    Attributes:
      batch_size: number of pictures per batch, a multiple of the number of devices.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`; all local
        devices if None.
    """

    batch_size: int = 64
    devices: Sequence[Device] | None = None

    def __post_init__(self) -> None:
        if self.devices is not None:
            check_batch_size(self.batch_size, len(self.devices))

    def __call__(self, run: str | Path, paths: Iterator[str]) -> Encoded:
        """Encodes the pictures; loads the network only if at least one picture can be read."""

        @functools.cache
        def params() -> HashNetParams:
            loaded = load(run)
            check_finite(loaded, source=f"the network in {run}")
            return loaded

        devices = local_devices() if self.devices is None else self.devices
        side = read_spec(run).resize
        return encode_files(params, paths, side=side, devices=devices, batch_size=self.batch_size)
