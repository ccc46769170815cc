"""Runs a function in a forked process, with limits on time and memory."""

import dataclasses
import os
import pickle
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The errors that the programs turn into one line; see hashnet_jax.cli.
EXPECTED = (ValueError, FloatingPointError, OSError, ModuleNotFoundError)

MEMORY = 3 * 2**30


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
      how: "answer", "error" (an expected one), "traceback" (any other), "signal" or "hang".
      value: the answer, or the message of the error.
      printed: what was printed on stdout and stderr.
      seconds: wall-clock time.
    """

    how: str
    value: Any
    printed: str
    seconds: float


def isolated(function: Callable[[], Any], printed: Path, *, seconds: float) -> Ending:
    """Calls a function in a forked process.

    The parent must have imported the function's modules but not initialized JAX, whose threads a
    fork does not copy.

    Args:
      function: a function that returns something that can be pickled.
      printed: file for what is printed.
      seconds: time after which the process is killed.
    """
    start = time.monotonic()
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        _run(function, printed, send)
    os.close(send)
    content = _read_all(receive, deadline=start + seconds)
    os.close(receive)
    if content is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    took = time.monotonic() - start
    text = printed.read_bytes().decode(errors="backslashreplace")
    if content is None:
        return Ending("hang", None, text, took)
    if os.WIFSIGNALED(status) or not content:
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
        return Ending("signal", name, text, took)
    how, value = pickle.loads(content)
    return Ending(how, value, text, took)


def _run(function: Callable[[], Any], printed: Path, send: int) -> None:
    """Runs the function in the child, and never returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        result = "answer", function()
    except EXPECTED as error:
        result = "error", f"{type(error).__name__}: {error}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        result = "traceback", f"{type(error).__name__}: {str(error)[:200]} ({place.name})"
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(send, "wb") as file:
        file.write(pickle.dumps(result))
    os._exit(0)


def _read_all(pipe: int, deadline: float) -> bytes | None:
    """Reads to the end of a pipe; returns None if that takes too long."""
    parts = []
    while True:
        ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return None
        part = os.read(pipe, 2**16)
        if not part:
            return b"".join(parts)
        parts.append(part)
