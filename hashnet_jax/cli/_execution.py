"""Execution settings, which may be changed when a run is resumed."""

import dataclasses
from dataclasses import field
from pathlib import Path

from hashnet_jax.data import overlap
from hashnet_jax.training.loggers import LOGGERS

OVERLAP_CHECKS = ("auto", "always", "never")


@dataclasses.dataclass(frozen=True)
class Execution:
    """How and where a run is executed. These settings are not part of the run's config.

    Attributes:
      report: whether to write `report.html` and `figures/` after training.
      check_overlap: whether to check for duplicate pictures with different names: ``"auto"`` (only
        if the check is cheap), ``"always"`` or ``"never"``.
      feature_dir: folder for the cached features of a frozen backbone; None for the run folder.
      devices: number of devices per process; None for all.
      workers: number of image-loading processes, >= 0; 0 uses threads instead.
      logger: name in ``hashnet_jax.training.loggers.LOGGERS`` of the service that also receives
        the metrics; None for none.
      profile: number of training steps to profile, >= 0.
      coordinator, processes, process: see :func:`hashnet_jax.distributed.processes.initialize`.

    Raises:
      ValueError: if ``workers`` or ``profile`` is negative.

    Examples:
      >>> Execution(workers=-1)
      Traceback (most recent call last):
      ...
      ValueError: `workers` must be >= 0, got -1.
    """

    report: bool = field(
        default=True,
        metadata={
            "help": "write report.html and figures/; requires matplotlib and scikit-learn",
            "group": "run",
        },
    )
    check_overlap: str = field(
        default="auto",
        metadata={
            "help": "check for duplicate pictures with different names; auto checks only if the "
            f"data is in memory or at most {overlap.MAX_CHEAP_IMAGES:,} images must be decoded",
            "choices": lambda: OVERLAP_CHECKS,
            "group": "protocol",
        },
    )
    feature_dir: Path | None = field(
        default=None,
        metadata={
            "help": "folder for the cached features of a frozen backbone; runs that use the same "
            "pictures can share it",
            "none": "the run folder",
            "metavar": "DIR",
            "group": "machine",
        },
    )
    devices: int | None = field(
        default=None,
        metadata={
            "help": "number of devices per process",
            "none": "all",
            "metavar": "N",
            "group": "machine",
        },
    )
    workers: int = field(
        default=0,
        metadata={
            "help": "number of processes that load images; 0 uses threads instead",
            "metavar": "N",
            "group": "machine",
        },
    )
    logger: str | None = field(
        default=None,
        metadata={
            "help": "also log the metrics to TensorBoard or Weights & Biases",
            "choices": lambda: LOGGERS,
            "group": "run",
        },
    )
    profile: int = field(
        default=0,
        metadata={
            "help": "number of training steps to profile, once they are compiled; the trace in "
            "profile/ is for TensorBoard or Perfetto",
            "metavar": "N",
            "group": "run",
        },
    )
    coordinator: str | None = field(
        default=None,
        metadata={
            "help": "address of the first process, for training with multiple processes that are "
            "all started with the same command. On TPU pods and Slurm clusters, auto detects the "
            "address, `processes` and `process`",
            "none": "a single process",
            "metavar": "HOST:PORT|auto",
            "group": "machine",
        },
    )
    processes: int | None = field(
        default=None,
        metadata={
            "help": "number of processes; used only with HOST:PORT",
            "metavar": "N",
            "group": "machine",
        },
    )
    process: int | None = field(
        default=None,
        metadata={
            "help": "index of this process, in 0..N-1; used only with HOST:PORT",
            "metavar": "I",
            "group": "machine",
        },
    )

    def __post_init__(self) -> None:
        for name, count in (("workers", self.workers), ("profile", self.profile)):
            if count < 0:
                raise ValueError(f"`{name}` must be >= 0, got {count}.")
