"""The registry of loggers and their interface."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hashnet_jax.training._callback import Callback


@runtime_checkable
class Logger(Callback, Protocol):
    """A callback that is closed at the end of its ``with`` block.

    Only :meth:`start` and the methods after it may write anything, so a run that is rejected leaves
    nothing behind.
    """

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None: ...


LoggerFactory = Callable[[Path, Mapping[str, Any]], Logger]

LOGGERS: dict[str, LoggerFactory] = {}


def register(name: str, factory: LoggerFactory) -> None:
    """Registers a logger.

    Args:
      name: name by which runs select the logger.
      factory: called as ``factory(folder, config)`` with the path of the run folder and the run's
        config, a JSON object; returns a :class:`Logger`. It should raise a ModuleNotFoundError if
        the logger's library is missing, since that ends the run before it starts.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> register("wandb", print)
      Traceback (most recent call last):
      ...
      ValueError: a logger named 'wandb' is already registered. Choose another name.
    """
    if name in LOGGERS:
        raise ValueError(f"a logger named {name!r} is already registered. Choose another name.")
    LOGGERS[name] = factory
