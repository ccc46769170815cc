"""Connects this process to the other processes of a multi-process program."""

import atexit
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from hashnet_jax.distributed._lost_peer import describe_loss, explained_abort, is_broken_collective

# A process that has sent no heartbeat for this long counts as lost.
HEARTBEAT_TIMEOUT_SECONDS = 20
# If one process fails, all processes wait this long for each other before they exit. Processes that
# finish normally have already synchronized in `wait_for_all`.
SHUTDOWN_TIMEOUT_SECONDS = 20


def initialize(
    coordinator: str | None, processes: int | None = None, process: int | None = None
) -> None:
    """Connects this process to the others; must be called before any computation.

    Args:
      coordinator: address ``"HOST:PORT"`` of the first process; ``"auto"`` to read all three
        arguments from the environment (TPU pod, Slurm, Open MPI or Kubernetes); or None for a
        single process.
      processes: number of processes, >= 1; required with HOST:PORT.
      process: index of this process in 0..processes - 1; required with HOST:PORT.

    Raises:
      OSError: if this is the first process, and the port is in use.
      ValueError: if the arguments are incomplete or inconsistent, or if ``"auto"`` detects none
        of these environments.

    Examples:
      >>> initialize(None)
      >>> initialize("10.0.0.1:1234", processes=2)
      Traceback (most recent call last):
      ...
      ValueError: `coordinator` HOST:PORT requires `processes` N >= 1 and `process` I ...
    """
    if coordinator is None:
        if (processes, process) != (None, None):
            raise ValueError(
                "`processes` and `process` require `coordinator`, the HOST:PORT address of the "
                "first process."
            )
        return
    # JAX's preemption service would intercept SIGTERM, so our handlers could not save and stop.
    jax.config.update("jax_enable_preemption_service", False)
    if coordinator == "auto":
        _initialize_from_environment(processes, process)
    else:
        _initialize_at(coordinator, processes, process)


@contextlib.contextmanager
def connected(
    coordinator: str | None,
    processes: int | None = None,
    process: int | None = None,
    *,
    remedy: Callable[[], str],
) -> Iterator[None]:
    """Connects this process to the others, and reports if one of them is lost within the block.

    If a process is killed, or its machine can no longer be reached, each of the others prints one
    line and exits with status 1: immediately if the first process is lost, and otherwise at most a
    few seconds after the heartbeat timeout, ``HEARTBEAT_TIMEOUT_SECONDS``.

    Args:
      coordinator: see :func:`initialize`. If None, this is the only process, and nothing is done.
      processes: see :func:`initialize`.
      process: see :func:`initialize`.
      remedy: function that returns advice for the user, which is appended to the printed line.

    Raises:
      ValueError: see :func:`initialize`.
      ConnectionAbortedError: if the connection to another process broke, but the runtime did not
        determine in time which one was lost.

    Examples:
      >>> with connected(None, remedy=lambda: "Start again."):
      ...     pass
    """
    if coordinator is None:
        initialize(coordinator, processes, process)
        yield
        return

    failed = False

    def explain(message: str) -> str:
        return "" if failed else f"{describe_loss(message)}. {remedy()}"

    with contextlib.ExitStack() as stack:
        stack.enter_context(explained_abort(explain))
        initialize(coordinator, processes, process)
        stack.callback(jax.distributed.shutdown)
        try:
            yield
        except BaseException as error:
            lost = ""
            if is_broken_collective(error):
                # In the meantime, the runtime determines which process was lost, and ends this one.
                time.sleep(HEARTBEAT_TIMEOUT_SECONDS + SHUTDOWN_TIMEOUT_SECONDS)
                lost = explain(str(error))
            # The caller reports the error. When this process exits, it waits for the others, and
            # the runtime ends it silently unless they have failed as well.
            failed = True
            atexit.register(stack.pop_all().close)
            if lost:
                raise ConnectionAbortedError(lost) from error
            raise


def _initialize_from_environment(processes: int | None, process: int | None) -> None:
    if (processes, process) != (None, None):
        raise ValueError(
            "`processes` and `process` are detected automatically if `coordinator` is auto, but "
            f"{processes} and {process} were passed. Leave them out, or set `coordinator` to "
            "HOST:PORT."
        )
    try:
        jax.distributed.initialize(**_timeouts())
    except ValueError as error:
        raise ValueError(
            "`coordinator` auto requires a TPU pod, Slurm, Open MPI or Kubernetes, but "
            f"none of them was detected ({error}). Pass `coordinator` HOST:PORT, `processes` and "
            "`process`."
        ) from error


def _initialize_at(coordinator: str, processes: int | None, process: int | None) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(
            f"`coordinator` must be auto or the first process's HOST:PORT, got {coordinator!r}."
        )
    if processes is None or process is None or not 0 <= process < processes:
        raise ValueError(
            "`coordinator` HOST:PORT requires `processes` N >= 1 and `process` I in 0..N-1, got "
            f"N = {processes} and I = {process}. Pass both."
        )
    if process == 0:
        _check_free(int(port))
    jax.distributed.initialize(coordinator, processes, process, **_timeouts())


def _check_free(port: int) -> None:
    """Checks that the coordinator can use the port; some versions of jaxlib crash otherwise."""
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise OSError(
            f"`coordinator` cannot use port {port} on this machine ({error.strerror}): choose "
            "another port."
        ) from error


def _timeouts() -> dict[str, Any]:
    return {
        "heartbeat_timeout_seconds": HEARTBEAT_TIMEOUT_SECONDS,
        "shutdown_timeout_seconds": SHUTDOWN_TIMEOUT_SECONDS,
    }
