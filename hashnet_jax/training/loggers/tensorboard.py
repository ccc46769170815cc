"""Writes the metrics of a run for TensorBoard.

We use tensorboardX because it needs only NumPy, protobuf and packaging. The writer in torch needs
torch and TensorBoard itself, and the one in flax needs TensorFlow.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hashnet_jax.training.loggers._registry import Logger

# Events that have not been written yet are lost if the run is killed.
FLUSH_SECONDS = 10


class TensorBoardLogger(Logger):
    """Writes event files to the folder `tensorboard/` of a run.

    A resumed run adds a file, which tells TensorBoard to drop the earlier points of the steps that
    are repeated.

    Args:
      folder: path of the run folder.

    Raises:
      ModuleNotFoundError: if tensorboardX is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._library = _import_tensorboardx()
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def start(self, step: int) -> None:
        self._writer = self._library.SummaryWriter(
            str(self._folder),
            purge_step=step + 1,
            flush_secs=FLUSH_SECONDS,
            # By default, the names of files begun in the same second are the same.
            filename_suffix=f".{os.getpid()}.{step}",
        )

    def log(self, step: int, metrics: Mapping[str, float | int | None]) -> None:
        for name, value in metrics.items():
            if isinstance(value, float):
                self._writer.add_scalar(name, value, step)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _import_tensorboardx() -> ModuleType:
    try:
        import tensorboardX
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "tensorboardX is needed to log to TensorBoard. Run `pip install "
            "'hashnet_jax[tensorboard]'`."
        ) from error
    return tensorboardX
