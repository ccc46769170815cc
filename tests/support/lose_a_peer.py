"""A program for several processes, which work together until one of them is killed.

::

    python -m tests.support.lose_a_peer HOST:PORT PROCESSES PROCESS WORK SECONDS

WORK is what they do: ``together`` (collectives), ``busy`` (Python code that holds the interpreter's
lock), ``fail`` (the last process raises an error), or ``abort`` (it aborts). SECONDS is how long
they wait for a sign of life.
"""

import os
import sys

from hashnet_jax.distributed import _initialize, processes


def work(kind: str, number: int, count: int) -> None:
    processes.wait_for_all()
    print("connected", flush=True)
    while kind == "together":
        processes.maximum(number)
    while kind == "busy":
        sum(range(1000))
    if number == count - 1 and kind == "fail":
        os.write(2, b"a warning of native code\n")
        raise ValueError("a reason of its own")
    if number == count - 1 and kind == "abort":
        os.write(2, b"free(): invalid pointer\n")
        os.abort()
    processes.wait_for_all()


def main() -> None:
    coordinator, count, number, kind, seconds = sys.argv[1:]
    _initialize.HEARTBEAT_TIMEOUT_SECONDS = _initialize.SHUTDOWN_TIMEOUT_SECONDS = int(seconds)
    with processes.connected(
        coordinator, int(count), int(number), remedy=lambda: "Continue with: the same command"
    ):
        work(kind, int(number), int(count))


if __name__ == "__main__":
    main()
