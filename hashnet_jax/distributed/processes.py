"""Coordinates several processes that run one program, and exchanges data between them.

Each process has its own devices, loads its own rows of every batch, and takes each step together
with the others. The first process owns the run folder and sends its content to the others. With a
single process, nothing is exchanged, and no function waits.

The number of processes affects the order of summation: individual updates agree with those of a
single process to within 1e-6, but over hundreds of steps rounding errors make the runs diverge.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Shaped

from hashnet_jax.distributed._initialize import connected, initialize

__all__ = [
    "arrays_from_first",
    "check_same",
    "connected",
    "from_first",
    "gather_rows",
    "initialize",
    "is_first",
    "is_only",
    "maximum",
    "request_maximum",
    "share",
    "together",
    "wait_for_all",
]

T = TypeVar("T")


def is_first() -> bool:
    """Returns whether this is the first process, which is the one that writes files."""
    return jax.process_index() == 0


def is_only() -> bool:
    """Returns whether the program runs in a single process."""
    return jax.process_count() == 1


def share(n: int) -> slice:
    """Returns this process's slice of ``n`` rows; the last slices may be shorter than the others.

    Examples:
      >>> share(10)  # in a single process
      slice(0, 10, None)
    """
    size = -(-n // jax.process_count())
    return slice(min(n, jax.process_index() * size), min(n, (jax.process_index() + 1) * size))


def gather_rows(rows: Shaped[np.ndarray, "share *S"], n: int) -> Shaped[np.ndarray, "N *S"]:
    """Concatenates the rows of all processes.

    Args:
      rows: this process's rows, i.e. the slice ``share(n)`` of all rows; see :func:`share`.
      n: total number of rows over all processes.

    Returns:
      All rows ``[n, ...]``, in every process.
    """
    if is_only():
        return rows
    from jax.experimental import multihost_utils

    padded = np.zeros((-(-n // jax.process_count()), *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return multihost_utils.process_allgather(padded, tiled=True)[:n]


def maximum(number: int) -> int:
    """Returns the maximum of an integer over all processes, waiting for all of them."""
    return request_maximum(lambda: number)()


def request_maximum(number: Callable[[], int]) -> Callable[[], int]:
    """Starts computing the maximum of an integer over all processes, without waiting for it.

    Args:
      number: zero-argument function returning this process's integer. With several processes, it is
        called immediately.

    Returns:
      A zero-argument function that waits for the other processes and returns the maximum. With a
      single process, this is ``number`` itself, evaluated only when called.

    Examples:
      >>> request_maximum(lambda: 15)()
      15
    """
    if is_only():
        return number
    result = _device_maximum()(np.full(jax.local_device_count(), number(), np.int32))
    return lambda: int(result[0])


@functools.cache
def _device_maximum() -> Callable[[np.ndarray], jax.Array]:
    # This runs at every step; it is twice as fast as gathering with multihost_utils.
    return jax.pmap(lambda number: jax.lax.pmax(number, "all"), axis_name="all")


def wait_for_all() -> None:
    """Waits until every process has called this function."""
    maximum(0)


def together(function: Callable[[], T]) -> T:
    """Calls ``function()`` in each process; if any call fails, raises an error in all processes.

    Raises:
      ConnectionAbortedError: in the processes where ``function`` succeeded; the message names a
        process where it failed.

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


def from_first(function: Callable[[], Any]) -> Any:
    """Calls ``function()`` in the first process and returns its result in all of them.

    Args:
      function: zero-argument function returning a JSON value.

    Raises:
      ConnectionAbortedError: in the other processes, if ``function`` fails in the first one.

    Examples:
      >>> from_first(lambda: {"step": 3})
      {'step': 3}
    """
    value = together(lambda: function() if is_first() else None)
    return value if is_only() else _exchange(value)[0]


def arrays_from_first(tree: Any) -> Any:
    """Sends the first process's arrays to all processes, bit for bit.

    Args:
      tree: pytree of arrays, with the same shapes and dtypes in each process.

    Returns:
      The first process's tree, as NumPy arrays; with a single process, ``tree`` itself.
    """
    if is_only():
        return tree
    from jax.experimental import multihost_utils

    def to_bytes(leaf: Any) -> np.ndarray:
        # The broadcast is a sum over processes, which would turn -0.0 into +0.0.
        return np.frombuffer(np.asarray(leaf).tobytes(), np.uint8)

    sent = multihost_utils.broadcast_one_to_all(jax.tree.map(to_bytes, tree))
    return jax.tree.map(
        lambda leaf, received: np.asarray(received).view(leaf.dtype).reshape(leaf.shape),
        tree,
        sent,
    )


def check_same(what: str, content: Any) -> None:
    """Checks that all processes have the same ``content``.

    Args:
      what: name of the content, for the error message.
      content: a JSON value, or a NumPy array.

    Raises:
      ValueError: in all processes, if the content in any process differs from that in the first.

    Examples:
      >>> check_same("config", {"seed": 0})
    """
    is_array = isinstance(content, np.ndarray)
    data = content.tobytes() if is_array else json.dumps(content, sort_keys=True).encode()
    digests = _exchange(hashlib.sha256(data).hexdigest())
    different = [str(i) for i, digest in enumerate(digests) if digest != digests[0]]
    if different:
        differ = "process {} differs" if len(different) == 1 else "processes {} differ"
        raise ValueError(
            f"all processes must have the same {what}, but {differ.format(', '.join(different))} "
            "from the first. Run all of them with the same options, data and version."
        )


def _exchange(value: Any) -> list[Any]:
    """Gathers the JSON values of all processes, in process order."""
    if is_only():
        return [value]
    from jax.experimental import multihost_utils

    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(len(data)))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(data)] = data
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
