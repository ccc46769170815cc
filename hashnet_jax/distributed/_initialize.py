"""Connects this process to the other processes of a program."""

import jax

# How long a process that fails alone waits for the others before exiting, and they for it.
# Processes that finish normally have already synchronized in `wait_for_all`.
SHUTDOWN_TIMEOUT_SECONDS = 20


def initialize(
    coordinator: str | None, processes: int | None = None, process: int | None = None
) -> None:
    """Connects this process to the others; call it before any computation.

    Args:
      coordinator: address ``"HOST:PORT"`` of the first process; ``"auto"`` to read all three
        arguments from the environment (TPU pod, Slurm, Open MPI or Kubernetes); or None for a
        single process.
      processes: number of processes, >= 1; required with HOST:PORT.
      process: index of this process in 0..processes - 1; required with HOST:PORT.

    Raises:
      ValueError: if the arguments are incomplete or inconsistent, or if ``"auto"`` detects no such
        environment.

    Examples:
      >>> initialize(None)
      >>> initialize("10.0.0.1:1234", processes=2)
      Traceback (most recent call last):
      ...
      ValueError: `coordinator` HOST:PORT needs `processes` N >= 1 and `process` I ...
    """
    if coordinator is None:
        if (processes, process) != (None, None):
            raise ValueError(
                "`processes` and `process` need `coordinator` HOST:PORT: pass the address of the "
                "first process."
            )
        return
    # JAX's preemption service would intercept SIGTERM before our handlers, which save and stop.
    jax.config.update("jax_enable_preemption_service", False)
    if coordinator == "auto":
        _initialize_from_environment(processes, process)
    else:
        _initialize_at(coordinator, processes, process)


def _initialize_from_environment(processes: int | None, process: int | None) -> None:
    if (processes, process) != (None, None):
        raise ValueError(
            "with `coordinator` auto, `processes` and `process` are detected, but "
            f"{processes} and {process} were passed: leave them out, or pass `coordinator` "
            "HOST:PORT."
        )
    try:
        jax.distributed.initialize(shutdown_timeout_seconds=SHUTDOWN_TIMEOUT_SECONDS)
    except ValueError as error:
        raise ValueError(
            "`coordinator` auto works on a TPU pod, or under Slurm, Open MPI or Kubernetes, but "
            f"none of them was detected ({error}): pass `coordinator` HOST:PORT, `processes` and "
            "`process`."
        ) from error


def _initialize_at(coordinator: str, processes: int | None, process: int | None) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(
            f"`coordinator` must be HOST:PORT of the first process, or auto, got {coordinator!r}."
        )
    if processes is None or process is None or not 0 <= process < processes:
        raise ValueError(
            "`coordinator` HOST:PORT needs `processes` N >= 1 and `process` I in 0..N-1, got "
            f"N = {processes} and I = {process}: pass both."
        )
    jax.distributed.initialize(
        coordinator, processes, process, shutdown_timeout_seconds=SHUTDOWN_TIMEOUT_SECONDS
    )
