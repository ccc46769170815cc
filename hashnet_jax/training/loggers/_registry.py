"""The registry of loggers and their interface."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from hashnet_jax.training._callback import Callback


@runtime_checkable
class Logger(Callback, Protocol):
    """A callback that is closed at the end of its ``with`` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None: ...


# Called with the run folder and the run's config, a JSON object. Must not write anything before
# `start`, and must raise a ModuleNotFoundError if its library is missing.
LoggerFactory = Callable[[Path, Mapping[str, Any]], Logger]

LOGGERS: dict[str, LoggerFactory] = {}


def register(name: str, factory: LoggerFactory) -> None:
    """Registers a logger.

    Args:
      name: name by which runs select the logger.
      factory: called as ``factory(folder, config)`` with the path of the run folder and the run's
        config, a JSON object; returns a :class:`Logger`.

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


@contextlib.contextmanager
def open_loggers(
    names: Sequence[str], folder: Path, config: Mapping[str, Any]
) -> Iterator[tuple[Logger, ...]]:
    """Opens loggers for a run, and closes them at the end of the ``with`` block.

    Args:
      names: names in ``LOGGERS``.
      folder: path of the run folder.
      config: the run's config, a JSON object.

    Yields:
      The loggers, callbacks for :func:`hashnet_jax.training.fit`.

    Raises:
      ModuleNotFoundError: if the library of a logger is missing.

    Examples:
      >>> with open_loggers([], Path("runs/mine"), {}) as loggers:
      ...     len(loggers)
      0
    """
    with contextlib.ExitStack() as stack:
        opened = [LOGGERS[name](folder, config) for name in dict.fromkeys(names)]
        yield tuple(stack.enter_context(logger) for logger in opened)
