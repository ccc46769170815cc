"""Counts codes by distance on the host; on a CPU, this is faster than :mod:`_counts_device`.

On a CPU, XLA computes several times as many distances per second as NumPy, but computes histograms
with a serial scatter that takes about 13 ns per pair. Therefore XLA computes the distances for a
block of queries, and Pillow counts them as if they were gray levels of an image. Counting takes
0.4 ns per pair and uses all cores, since Pillow releases the GIL. If there are more than 256 bins,
NumPy's ``bincount`` is used, which takes 1 ns per pair and holds the GIL.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, Shaped, UInt8, UInt32

from hashnet_jax.metrics._checks import check_retrieval
from hashnet_jax.metrics._counts import DistanceCounts, split_counts

# Database codes and queries compared at once: 8 MiB of distances per thread.
_DATABASE_BLOCK = 2**17
_QUERY_BLOCK = 64
_THREADS = min(8, os.cpu_count() or 1)
# Database blocks are padded to a power of two, at least this one, to limit recompilation.
_SMALLEST_PADDED_BLOCK = 2**10

_Bins = UInt8[np.ndarray, " N"] | Int32[np.ndarray, " N"]
# Called with the index of a query and the bin of each database code.
_AddQuery = Callable[[int, _Bins], None]


def distance_counts_host(
    packed_queries: UInt8[Array | np.ndarray, "Q bytes"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    labels_q: Shaped[Array | np.ndarray, "Q *C"],
    labels_db: Shaped[Array | np.ndarray, "N *C"],
    *,
    bits: int,
) -> DistanceCounts:
    """Computes the same counts as :func:`distance_counts`, but on the host and block by block.

    Memory use grows with N and with Q * K, but not with Q * N.

    Args:
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``, see
        :func:`hashnet_jax.codes.pack_bits`.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.
      labels_q: class ids, integer ``[Q]``, or multi-hot labels ``[Q, C]``.
      labels_db: labels in the same format, ``[N]`` or ``[N, C]``.
      bits: K, the number of bits per code.

    Returns:
      :class:`DistanceCounts` of NumPy arrays, int32 ``[Q, K+1]``.

    Raises:
      TypeError: if packed codes are not uint8, or class ids are not integers.
      ValueError: if the shapes do not match, or a padding bit of the last byte is set, which
        usually means that ``bits`` is wrong.

    Examples:
      >>> codes = np.array([[0b11100000], [0b11000000], [0b11100000]], np.uint8)
      >>> labels = np.array([0, 0, 1])
      >>> counts = distance_counts_host(codes[:1], codes, labels[:1], labels, bits=3)
      >>> counts.relevant, counts.total
      (array([[1, 1, 0, 0]], dtype=int32), array([[2, 1, 0, 0]], dtype=int32))
    """
    queries, labels_q = np.asarray(packed_queries), np.asarray(labels_q)
    database, labels_db = np.asarray(packed_database), np.asarray(labels_db)
    check_retrieval(queries, database, labels_q, labels_db, bits=bits, zero_padding=True)
    count = _count_by_class if labels_q.ndim == 1 else _count_multi_hot
    return split_counts(count(_words(queries), _words(database), labels_q, labels_db, bits + 1))


class _Operands(NamedTuple):
    """Codes, and multi-hot labels if the bins depend on labels, both packed into 32-bit words."""

    codes: UInt32[np.ndarray, "W N"]
    labels: UInt32[np.ndarray, "L N"] | None = None

    def padded(self, start: int, stop: int, size: int) -> "_Operands":
        """Returns the columns from ``start`` to ``stop``, zero-padded to ``size`` columns."""
        codes, labels = (
            None if words is None else _pad_columns(words[:, start:stop], size) for words in self
        )
        return self._replace(codes=codes, labels=labels)


def _pad_columns(words: UInt32[np.ndarray, "W n"], size: int) -> UInt32[np.ndarray, "W {size}"]:
    return np.pad(words, ((0, 0), (0, size - words.shape[1])))


def _count_by_class(
    queries: UInt32[np.ndarray, "W Q"],
    database: UInt32[np.ndarray, "W N"],
    labels_q: Int[np.ndarray, " Q"] | Shaped[np.ndarray, " Q"],
    labels_db: Shaped[np.ndarray, " N"],
    size: int,
) -> Int32[np.ndarray, "Q 2 {size}"]:
    """Counts the irrelevant and the relevant codes at each distance, given class ids.

    The database is sorted by class, so the codes relevant to a query are contiguous.
    """
    order = np.argsort(labels_db, kind="stable")
    database, labels_db = database[:, order], labels_db[order]
    counts = np.zeros((len(labels_q), 2, size), np.int32)
    for start in range(0, len(labels_db), _DATABASE_BLOCK):
        stop = start + _DATABASE_BLOCK
        first, last = (
            np.searchsorted(labels_db[start:stop], labels_q, side) for side in ("left", "right")
        )
        add = functools.partial(_add_by_class, counts, first, last)
        _for_each_query(add, _Operands(queries), _Operands(database[:, start:stop]), size)
    return counts


def _add_by_class(
    counts: Int32[np.ndarray, "Q 2 distances"],
    first: Int[np.ndarray, " Q"],
    last: Int[np.ndarray, " Q"],
    row: int,
    bins: _Bins,
) -> None:
    size = counts.shape[2]
    relevant = _histogram(bins[first[row] : last[row]], size)
    counts[row] += _histogram(bins, size) - relevant, relevant


def _count_multi_hot(
    queries: UInt32[np.ndarray, "W Q"],
    database: UInt32[np.ndarray, "W N"],
    labels_q: Shaped[np.ndarray, "Q C"],
    labels_db: Shaped[np.ndarray, "N C"],
    size: int,
) -> Int32[np.ndarray, "Q 2 {size}"]:
    """Counts the irrelevant and the relevant codes at each distance, given multi-hot labels."""
    # Labels are packed into bits like codes: one AND tests 32 classes for a shared label.
    query_labels, database_labels = (
        _words(np.packbits(labels != 0, axis=1)) for labels in (labels_q, labels_db)
    )
    counts = np.zeros((queries.shape[1], 2 * size), np.int32)

    def add(row: int, bins: _Bins) -> None:
        counts[row] += _histogram(bins, 2 * size)

    for start in range(0, database.shape[1], _DATABASE_BLOCK):
        columns = slice(start, start + _DATABASE_BLOCK)
        block = _Operands(database[:, columns], database_labels[:, columns])
        _for_each_query(add, _Operands(queries, query_labels), block, 2 * size)
    return counts.reshape(-1, 2, size)


def _for_each_query(add: _AddQuery, queries: _Operands, database: _Operands, size: int) -> None:
    """Calls ``add(row, bins)`` for each query, in a thread pool; see :func:`_bins`."""
    n_queries, n = queries.codes.shape[1], database.codes.shape[1]
    padded_size = max(_SMALLEST_PADDED_BLOCK, 1 << (n - 1).bit_length())
    on_device = tuple(
        None if words is None else _put_on_cpu(words)
        for words in database.padded(0, n, padded_size)
    )

    def add_block(first: int) -> None:
        last = min(first + _QUERY_BLOCK, n_queries)
        block = queries.padded(first, last, _QUERY_BLOCK)
        bins = np.asarray(_bins(*block, *on_device, size=size))[: last - first, :n]
        for row, bins_of_query in enumerate(bins, first):
            add(row, bins_of_query)

    with ThreadPoolExecutor(_THREADS) as threads:
        # Consuming the iterator re-raises exceptions from the threads.
        list(threads.map(add_block, range(0, n_queries, _QUERY_BLOCK)))


def _histogram(bins: _Bins, size: int) -> Int[np.ndarray, " {size}"]:
    """Counts how often each value in 0..size - 1 occurs in ``bins``."""
    if bins.dtype != np.uint8:
        return np.bincount(bins, minlength=size)
    if bins.size == 0:
        return np.zeros(size, int)
    from PIL import Image

    return np.array(Image.frombuffer("L", (bins.size, 1), bins).histogram()[:size])


@functools.partial(jax.jit, static_argnames="size")
def _bins(
    queries: UInt32[Array, "W Q"],
    labels_q: UInt32[Array, "L Q"] | None,
    database: UInt32[Array, "W N"],
    labels_db: UInt32[Array, "L N"] | None,
    *,
    size: int,
) -> UInt8[Array, "Q N"] | Int32[Array, "Q N"]:
    """Computes the bin of each pair, as uint8 if all bins fit.

    Without labels, the bin of a pair is its distance. With labels, the bins of irrelevant pairs
    come first, and the bins of relevant pairs start at ``size / 2``.
    """
    bins = functools.reduce(
        jnp.add,
        (
            jax.lax.population_count(query[:, None] ^ word[None, :]).astype(jnp.int32)
            for query, word in zip(queries, database, strict=True)
        ),
    )
    if labels_q is not None and labels_db is not None:
        shared = functools.reduce(
            jnp.bitwise_or,
            (
                query[:, None] & word[None, :]
                for query, word in zip(labels_q, labels_db, strict=True)
            ),
        )
        bins += jnp.where(shared != 0, size // 2, 0)
    return bins.astype(jnp.uint8) if size <= 256 else bins


def _put_on_cpu(array: UInt32[np.ndarray, "W N"]) -> UInt32[Array, "W N"]:
    """Puts an array on the CPU, even if the default device is an accelerator."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        device = None
    return jax.device_put(array, device)


def _words(packed: UInt8[np.ndarray, "N bytes"]) -> UInt32[np.ndarray, "W N"]:
    """Converts codes to 32-bit words, zero-padded, with one code per column."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // 4) * 4), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(np.uint32).T)
