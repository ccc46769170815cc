"""Sends the metrics of a run to Weights & Biases."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import read_text
from hashnet_jax.training._metrics_file import last_step
from hashnet_jax.training._run_folder import METRICS, REMEDY, WHAT
from hashnet_jax.training._state import TrainState
from hashnet_jax.training.loggers._registry import Logger

PROJECT = "hashnet_jax"
ID_FILE = "wandb_id.txt"


class WandbLogger(Logger):
    """Logs to a run of Weights & Biases, which keeps its files in the folder `wandb/` of a run.

    WANDB_MODE=offline needs no network, and WANDB_PROJECT sets the project, by default
    `hashnet_jax`. The id of the run is saved in `wandb_id.txt`, so a resumed run continues it.
    Weights & Biases cannot replace a step. Steps that a killed run had logged after its latest
    checkpoint are therefore not logged again.

    Args:
      folder: path of the run folder.
      config: the run's config, saved with the run.

    Raises:
      ModuleNotFoundError: if wandb is missing.
      ConnectionError: from :meth:`start`, if wandb cannot begin the run, e.g. without an API key.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._library = _import_wandb()
        self._folder, self._config = folder, config
        # Read now, since `fit` drops the lines after the latest checkpoint.
        self._logged = last_step(folder / METRICS) if (folder / ID_FILE).is_file() else 0
        self._skip_until = 0
        self._run: Any = None

    def start(self, step: int) -> None:
        self._skip_until = self._logged if self._logged > step else 0
        try:
            self._run = self._init()
        except self._library.Error as error:
            raise ConnectionError(
                f"Weights & Biases must accept the run, but wandb reports: {error} Set "
                "WANDB_MODE=offline to log without it."
            ) from error

    def _init(self) -> Any:
        return self._library.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self._folder.resolve().name,
            id=_run_id(self._folder / ID_FILE),
            dir=str(self._folder),
            config=dict(self._config),
            resume="allow",
            # Capturing the terminal would break the progress bar.
            settings=self._library.Settings(console="off"),
        )

    def log(self, step: int, metrics: Mapping[str, float | int | None]) -> None:
        numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
        if step > self._skip_until:
            self._run.log(numbers, step=step)

    def end(self, state: TrainState, best_step: int | None) -> None:
        if best_step is not None:
            self._run.summary["best_step"] = best_step

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)


def _run_id(path: Path) -> str:
    """Reads the id of the run, or chooses and saves one."""
    if not path.is_file():
        write_whole(path, lambda file: file.write(secrets.token_hex(4).encode()))
    return read_text(path, WHAT, REMEDY).strip()


def _import_wandb() -> ModuleType:
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "wandb is needed to log to Weights & Biases. Run `pip install 'hashnet_jax[wandb]'`."
        ) from error
    return wandb
