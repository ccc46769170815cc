"""A run in progress: its config, data, folder and devices."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

import hashnet_jax
from hashnet_jax.cli._execution import Execution
from hashnet_jax.configs import Config
from hashnet_jax.data import Dataset
from hashnet_jax.distributed.devices import Device
from hashnet_jax.training import CachedFeatures, RunFolder
from hashnet_jax.training.loggers import Logger


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """State shared by all stages of a run.

    Attributes:
      config: the config, which determines the result.
      folder: the run folder, which must be locked.
      dataset: the data set named in ``config``.
      devices: the devices that this process uses.
      execution: settings for how and where to execute the run.
      content: the config as it is saved in `config.json`.
      features: cached features of a frozen backbone; None if they have not been computed.
      logger: receives the metrics; None for none, and in all processes but the first.
    """

    config: Config
    folder: RunFolder
    dataset: Dataset
    devices: tuple[Device, ...]
    execution: Execution
    content: Mapping[str, Any]
    features: CachedFeatures | None = None
    logger: Logger | None = None


def describe_devices(devices: tuple[Device, ...]) -> str:
    """Describes the devices, e.g. "2 processes of 8 x NVIDIA H100"."""
    count = jax.process_count()
    each = f"{len(devices)} x {devices[0].device_kind}"
    return each if count == 1 else f"{count} processes of {each}"


def describe_run(run: Run) -> Iterator[str]:
    """Yields lines of text with the software versions, devices, config and split sizes."""
    devices = describe_devices(run.devices)
    yield f"hashnet_jax {hashnet_jax.__version__}, jax {jax.__version__}, {devices}"
    for part, content in run.config.to_json().items():
        if isinstance(content, dict):
            content = ", ".join(f"{name}={value}" for name, value in content.items())
        yield f"{part}: {content}"
    split = run.dataset.split
    sizes = ", ".join(f"{count:,} {name}" for name, count in split.sizes().items())
    share = np.isin(split.train, split.database).mean()
    yield f"images: {sizes}; {share:.0%} of the training images are in the database"
