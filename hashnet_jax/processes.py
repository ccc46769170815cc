"""Several processes that run one program together: who they are, and what all must agree on.

Each process has its own devices, loads its own rows of every batch, and steps in time with the
others. The first one owns the folder of the run; what the others need from it they are told. Where
there is only one process, every function here gives back what it was given.
"""

import functools
import hashlib
import json

import jax
import numpy as np
from jax.experimental import multihost_utils

# A process that fails by itself waits for the others this long before it ends, and they with it.
# Those that end well have waited for each other before, in `wait_for_all`.
_SHUTDOWN_SECONDS = 20


def initialize(coordinator, processes=None, process=None):
    """Joins this process to the others; before anything is computed.

    Args:
      coordinator: ``"HOST:PORT"`` of the first process, or ``"auto"``, which finds all three in the
        environment of a TPU pod, Slurm, Open MPI or Kubernetes; None where there is one process.
      processes: how many there are, >= 1, with HOST:PORT.
      process: which one this is, 0..processes - 1, with HOST:PORT.

    Raises:
      ValueError: for an incomplete or impossible description, or where ``"auto"`` finds nothing.
    """
    given = (processes, process)
    if coordinator is None:
        if given != (None, None):
            raise ValueError(
                "--processes and --process need --coordinator HOST:PORT, got none: name where the "
                "first process is reached."
            )
        return
    # It would take SIGTERM from the handlers that save and stop.
    jax.config.update("jax_enable_preemption_service", False)
    if coordinator == "auto":
        if given != (None, None):
            raise ValueError(
                "--coordinator auto finds --processes and --process by itself: leave them out, or "
                "name the coordinator as HOST:PORT."
            )
        try:
            jax.distributed.initialize(shutdown_timeout_seconds=_SHUTDOWN_SECONDS)
        except ValueError as error:
            raise ValueError(
                "--coordinator auto must run on a TPU pod, or under Slurm, Open MPI or Kubernetes, "
                f"got none of them ({error}): give --coordinator HOST:PORT --processes N "
                "--process I."
            ) from error
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(
            f"--coordinator must be HOST:PORT of the first process, or auto, got {coordinator!r}."
        )
    if None in given or not 0 <= process < processes:
        raise ValueError(
            "--coordinator HOST:PORT needs --processes N >= 1 and --process I in 0..N-1, got "
            f"N = {processes} and I = {process}."
        )
    jax.distributed.initialize(
        coordinator, processes, process, shutdown_timeout_seconds=_SHUTDOWN_SECONDS
    )


def is_first():
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def is_only():
    """Whether there is no other process."""
    return jax.process_count() == 1


def share(n):
    """The rows of this process among ``n``, as a slice: equal parts in order, the last smaller.

    Examples:
      >>> share(10)  # of one process
      slice(0, 10, None)
    """
    size = -(-n // jax.process_count())
    return slice(min(n, jax.process_index() * size), min(n, (jax.process_index() + 1) * size))


def gather_rows(rows, n):
    """All ``n`` rows ``[n, ...]``, from each process's ``rows`` ``[len(share(n)), ...]``."""
    if is_only():
        return rows
    filled = np.zeros((-(-n // jax.process_count()), *rows.shape[1:]), rows.dtype)
    filled[: len(rows)] = rows
    return multihost_utils.process_allgather(filled, tiled=True)[:n]


def greatest(number):
    """The greatest of all processes' integers; each waits for the others."""
    return ask_greatest(lambda: int(number))()


def ask_greatest(number):
    """A function that gives the greatest of all processes' ``number()``, taken and sent now.

    It waits for the others where this does not. Of one process, it is ``number`` itself.
    """
    if is_only():
        return number
    answer = _maximum()(np.full(jax.local_device_count(), number(), np.int32))
    return lambda: int(answer[0])


@functools.cache
def _maximum():
    # Asked at every step: half the time of a gather by multihost_utils.
    return jax.pmap(lambda number: jax.lax.pmax(number, "all"), axis_name="all")


def wait_for_all():
    """Returns when all processes have come here."""
    greatest(0)


def together(function):
    """``function()``, run by each process; where it fails in one, all stop.

    Raises:
      ConnectionAbortedError: in the processes where it did not fail, naming one where it did.

    Examples:
      >>> together(lambda: 3)
      3
    """
    if is_only():
        return function()
    try:
        value = function()
    except Exception as error:
        _exchange(str(error) or type(error).__name__)
        raise
    for process, problem in enumerate(_exchange(None)):
        if problem is not None:
            raise ConnectionAbortedError(f"process {process} has stopped: {problem}")
    return value


def from_first(function):
    """What ``function()`` gives in the first process, a JSON value, in all of them.

    Raises:
      ConnectionAbortedError: in the others, if it fails in the first.

    Examples:
      >>> from_first(lambda: {"step": 3})
      {'step': 3}
    """
    value = together(lambda: function() if is_first() else None)
    return value if is_only() else _exchange(value)[0]


def arrays_from_first(tree):
    """The first process's arrays in all of them, bit for bit.

    Args:
      tree: pytree of arrays, of the same shapes and dtypes in each process.

    Returns:
      The same tree of NumPy arrays.
    """
    if is_only():
        return tree

    def bits(leaf):
        # As bytes: the sum that carries them would make +0.0 of -0.0.
        return np.frombuffer(np.asarray(leaf).tobytes(), np.uint8)

    sent = multihost_utils.broadcast_one_to_all(jax.tree.map(bits, tree))
    return jax.tree.map(
        lambda leaf, received: np.asarray(received).view(leaf.dtype).reshape(leaf.shape),
        tree,
        sent,
    )


def check_same(what, content):
    """Raises ValueError in all processes unless each has the same ``content``.

    Args:
      what: it is, for the message.
      content: a JSON value, or an array.
    """
    content = content if isinstance(content, np.ndarray) else json.dumps(content, sort_keys=True)
    data = content.tobytes() if isinstance(content, np.ndarray) else content.encode()
    digests = _exchange(hashlib.sha256(data).hexdigest())
    different = [str(i) for i, digest in enumerate(digests) if digest != digests[0]]
    if different:
        raise ValueError(
            f"all processes must have the same {what}, got another than the first one's in process "
            f"{', '.join(different)}: give each the same options, data and version."
        )


def _exchange(value):
    """The JSON values of all processes, in their order."""
    if is_only():
        return [value]
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(len(data)))
    filled = np.zeros(sizes.max(), np.uint8)
    filled[: len(data)] = data
    rows = multihost_utils.process_allgather(filled)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
