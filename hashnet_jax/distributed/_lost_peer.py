"""Ends a process with a one-line message when another process of the program is lost.

If a process is killed, the `jax.distributed` runtime ends each of the others: it writes a C++ stack
trace to stderr and calls ``abort()``. There is no usable hook: jaxlib accepts a callback, but
calling it crashes because the error has no Python type. While the processes are connected, this
module therefore redirects the stderr of native code to a file, and copies everything to the
terminal except the runtime's last message. It also installs a handler for the SIGABRT that
``abort()`` raises, which prints one line and exits.
"""

import contextlib
import ctypes
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

# Output of native code appears on the terminal with up to this delay.
SECONDS_BETWEEN_COPIES = 0.25
# Time before the process exits. The first process hosts the coordination service, which must still
# tell the others which process was lost.
SECONDS_FOR_OTHERS = 2.0

# The first line of the runtime's message about a lost process.
_ANNOUNCEMENT = re.compile(rb"^[EF]\d{4} .*(coordination_service|client\.h:)", re.MULTILINE)
_FATAL = b"Terminating process because the JAX distributed service detected fatal errors"
_LOST_FIRST = re.compile(r"Failed to send RPC to coordination service|Socket closed")
_LOST_OTHERS = re.compile(
    r"stopped sending heartbeats\):\n(.*?)\nThe tasks have crashed", re.DOTALL
)
_ENDED_ALONE = re.compile(r"The first task at the barrier: \S*?(\d+)\. ")
# Found in the errors that collectives raise when the connection to a process breaks.
_BROKEN_COLLECTIVE = re.compile(
    r"Gloo|NCCL|coordination service|Connection (reset|closed)|UNAVAILABLE|CANCELLED"
)

_AbortHandler = ctypes.CFUNCTYPE(None, ctypes.c_int)


def describe_loss(text: str) -> str:
    r"""Describes which processes were lost, based on the runtime's error message.

    Examples:
      >>> describe_loss("unhealthy (stopped sending heartbeats):\n1\n3\nThe tasks have crashed.")
      'lost process 1, 3 (killed, or no longer reachable)'
      >>> describe_loss("Failed to send RPC to coordination service.")
      'lost process 0 (killed, or no longer reachable)'
      >>> describe_loss("The first task at the barrier: 2. Some timed out")
      'process 2 has failed'
      >>> describe_loss("RPC: /xla.coordination.CoordinationService/RegisterTask")
      'not all processes connected in time'
      >>> describe_loss("Connection reset by peer")
      'lost another process (killed, or no longer reachable)'
    """
    if "/RegisterTask" in text:
        return "not all processes connected in time"
    if match := _ENDED_ALONE.search(text):
        return f"process {match[1]} has failed"
    lost = "another process"
    if match := _LOST_OTHERS.search(text):
        lost = "process " + ", ".join(re.findall(r"(\d+)$", match[1], re.MULTILINE))
    elif _LOST_FIRST.search(text):
        lost = "process 0"
    return f"lost {lost} (killed, or no longer reachable)"


def is_broken_collective(error: BaseException) -> bool:
    """Returns whether ``error`` was raised because the connection to another process broke."""
    return _BROKEN_COLLECTIVE.search(str(error)) is not None


@contextlib.contextmanager
def explained_abort(explain: Callable[[str], str]) -> Iterator[None]:
    """Prints one line and exits with status 1 if JAX's runtime aborts within the block.

    Args:
      explain: function that maps the runtime's error message to the line to print, or to "" to
        print nothing.
    """
    stderr = _NativeStderr()

    @_AbortHandler
    def on_abort(number: int) -> None:
        message = stderr.take_announcement()
        if _FATAL not in message:  # another failure of native code: show its message and abort
            os.write(stderr.terminal, message)
            _set_abort_handler(None)
            return
        line = explain(message.decode(errors="replace"))
        os.write(stderr.terminal, f"{line}\n".encode() if line else b"")
        _leave()

    _set_abort_handler(on_abort)
    try:
        with stderr:
            yield
    finally:
        _set_abort_handler(None)


def _leave() -> None:
    """Exits immediately, since the main thread might wait for the lost process forever."""
    for child in multiprocessing.active_children():
        child.kill()
    # Flush in a thread, since the main thread may hold the lock of stdout.
    if sys.__stdout__ is not None:
        flush = threading.Thread(target=sys.__stdout__.flush, daemon=True)
        flush.start()
        flush.join(1.0)
    time.sleep(SECONDS_FOR_OTHERS)
    os._exit(1)


def _set_abort_handler(handler: Callable[[int], None] | None) -> None:
    # signal.signal does not work here: Python would call the handler later, in the main thread, but
    # ``abort()`` never returns.
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    pointer = None if handler is None else ctypes.cast(handler, ctypes.c_void_p)  # type: ignore
    set_handler(signal.SIGABRT, pointer)


class _NativeStderr:
    """Copies the stderr of native code to the terminal until a lost process is announced.

    Native code writes to a file instead of a pipe, so it never waits for the copying thread.
    Python's own ``sys.stderr`` keeps writing to the terminal directly.

    Attributes:
      terminal: descriptor of the real stderr.
    """

    def __init__(self) -> None:
        self.terminal = os.dup(2)
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, closed in __exit__
        self._copied = 0
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._copy_repeatedly, daemon=True)
        self._python: object = None

    def __enter__(self) -> "_NativeStderr":
        sys.stderr.flush()
        self._python = sys.stderr
        with contextlib.suppress(
            OSError, ValueError
        ):  # leave stderr unchanged if it has no descriptor
            if sys.stderr.fileno() == 2:
                sys.stderr = os.fdopen(os.dup(self.terminal), "w", buffering=1)
        os.dup2(self._file.fileno(), 2)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        os.dup2(self.terminal, 2)
        if sys.stderr is not self._python:
            sys.stderr.flush()
            sys.stderr.close()
            sys.stderr = self._python
        os.write(self.terminal, self.take_announcement())
        os.close(self.terminal)
        self._file.close()

    def take_announcement(self) -> bytes:
        """Copies the output up to the runtime's last message, and returns this message."""
        with self._lock:
            self._copy()
            announcement = self._unread()
            self._copied += len(announcement)
            return announcement

    def _copy_repeatedly(self) -> None:
        while not self._end.wait(SECONDS_BETWEEN_COPIES):
            with self._lock:
                self._copy()

    def _copy(self) -> None:
        text = self._unread()
        announcement = _ANNOUNCEMENT.search(text)
        if announcement is not None:
            text = text[: announcement.start()]
        os.write(self.terminal, text)
        self._copied += len(text)

    def _unread(self) -> bytes:
        size = os.fstat(self._file.fileno()).st_size - self._copied
        return os.pread(self._file.fileno(), size, self._copied)
