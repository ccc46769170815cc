"""The per-distance counts on the host: those of the device form, many times faster on a CPU.

XLA's histogram is a serial scatter on a CPU, some 13 ns a pair; of distances, XLA computes several
times as many a second as NumPy. So XLA computes the distances of some queries, and Pillow counts
them, as the grey levels of an image: 0.4 ns a pair, on all cores, as it does not hold Python's
lock. NumPy's ``bincount``, 1 ns a pair and under the lock, counts what does not fit a byte.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hashnet_jax.counting import check_filling, check_pairs, split_counts

# Codes of the database met at once, and queries: 8 MiB of distances for each of the threads.
_DATABASE_BLOCK, _QUERIES, _THREADS = 2**17, 64, min(8, os.cpu_count() or 1)
# Database blocks are filled up to a power of two from here on, so that few sizes are compiled.
_SMALLEST = 2**10


def distance_counts_host(packed_queries, packed_database, labels_q, labels_db, *, bits):
    """:func:`distance_counts` on the host: exactly the same counts, in bounded memory.

    Memory grows with N and with Q K, never with Q N.

    Args:
      packed_queries, packed_database, labels_q, labels_db, bits: as :func:`distance_counts`;
        anything that ``np.asarray`` takes.

    Returns:
      :class:`DistanceCounts` of NumPy arrays, int32 ``[Q, K+1]``.

    Raises:
      TypeError, ValueError: as :func:`distance_counts`, and if the bits that fill the last byte
        are not zeros, as with a wrong ``bits``.

    Examples:
      >>> codes = np.array([[0b11100000], [0b11000000], [0b11100000]], np.uint8)
      >>> labels = np.array([0, 0, 1])
      >>> counts = distance_counts_host(codes[:1], codes, labels[:1], labels, bits=3)
      >>> counts.relevant, counts.total
      (array([[1, 1, 0, 0]], dtype=int32), array([[2, 1, 0, 0]], dtype=int32))
    """
    packed_queries, packed_database = np.asarray(packed_queries), np.asarray(packed_database)
    labels_q, labels_db = np.asarray(labels_q), np.asarray(labels_db)
    check_pairs(packed_queries, packed_database, labels_q, labels_db, bits)
    check_filling(packed_queries, packed_database, bits)
    words = _words(packed_queries), _words(packed_database)
    count = _count_by_class if labels_q.ndim == 1 else _count_multi_hot
    return split_counts(count(*words, labels_q, labels_db, bits + 1))


def _count_by_class(queries, database, labels_q, labels_db, size):
    """Irrelevant and relevant counts int32 ``[Q, 2, size]``, labels being class ids.

    With the database in the order of classes, what is relevant to a query is a slice of it.
    """
    order = np.argsort(labels_db, kind="stable")
    database, labels_db = database[:, order], labels_db[order]
    counts = np.zeros((len(labels_q), 2, size), np.int32)
    for start in range(0, len(labels_db), _DATABASE_BLOCK):
        of_block = labels_db[start : start + _DATABASE_BLOCK]
        first, last = (np.searchsorted(of_block, labels_q, side) for side in ("left", "right"))

        def add(row, bins, first=first, last=last):
            relevant = _histogram(bins[first[row] : last[row]], size)
            counts[row] += _histogram(bins, size) - relevant, relevant

        _for_each_query(add, _bins_of(queries, database[:, start : start + _DATABASE_BLOCK], size))
    return counts


def _count_multi_hot(queries, database, labels_q, labels_db, size):
    """Irrelevant and relevant counts int32 ``[Q, 2, size]``, labels being multi-hot."""
    # Labels as bits, too: "shares a label" is then an AND, 32 classes at once.
    labels_q, labels_db = (_words(np.packbits(of != 0, axis=1)) for of in (labels_q, labels_db))
    counts = np.zeros((queries.shape[1], 2 * size), np.int32)

    def add(row, bins):
        counts[row] += _histogram(bins, 2 * size)

    for start in range(0, database.shape[1], _DATABASE_BLOCK):
        block, of_block = (of[:, start : start + _DATABASE_BLOCK] for of in (database, labels_db))
        _for_each_query(add, _bins_of(queries, block, 2 * size, labels_q, of_block))
    return counts.reshape(-1, 2, size)


def _for_each_query(function, bins_of_queries):
    """``function(row, bins)`` for each query, in threads; see :func:`_bins_of`."""

    def of_some(compute):
        first, bins = compute()
        for row, of_row in enumerate(bins, first):
            function(row, of_row)

    with ThreadPoolExecutor(_THREADS) as threads:
        # The list: so that the error of a thread is raised here.
        list(threads.map(of_some, bins_of_queries))


def _histogram(bins, size):
    """How often each of 0..size - 1 occurs in ``bins``."""
    if bins.dtype != np.uint8:
        return np.bincount(bins, minlength=size)
    if bins.size == 0:
        return np.zeros(size, int)
    return np.array(Image.frombuffer("L", (bins.size, 1), bins).histogram()[:size])


def _bins_of(queries, database, size, labels_q=None, labels_db=None):
    """For some queries each, a function giving the first and the bins ``[queries, N]`` of codes.

    A bin is a distance; with labels, irrelevant codes come first, relevant ones ``size / 2`` later.
    """
    n = database.shape[1]
    filled = max(_SMALLEST, 1 << (n - 1).bit_length())
    of_database = [
        None if of is None else _put(np.pad(of, ((0, 0), (0, filled - n))))
        for of in (database, labels_db)
    ]

    def compute(first):
        number = min(_QUERIES, queries.shape[1] - first)
        of_queries = [
            None
            if of is None
            else np.pad(of[:, first : first + number], ((0, 0), (0, _QUERIES - number)))
            for of in (queries, labels_q)
        ]
        return first, np.asarray(_bins(*of_queries, *of_database, size=size))[:number, :n]

    starts = range(0, queries.shape[1], _QUERIES)
    return [functools.partial(compute, first) for first in starts]


@functools.partial(jax.jit, static_argnames="size")
def _bins(queries, labels_q, database, labels_db, *, size):
    """Bins ``[Q, N]``, uint8 where they fit, from words ``[W, Q]`` and ``[W, N]``."""
    bins = sum(
        jax.lax.population_count(query[:, None] ^ word[None, :]).astype(jnp.int32)
        for query, word in zip(queries, database, strict=True)
    )
    if labels_q is not None:
        shared = functools.reduce(
            jnp.bitwise_or,
            (
                query[:, None] & word[None, :]
                for query, word in zip(labels_q, labels_db, strict=True)
            ),
        )
        bins += jnp.where(shared != 0, size // 2, 0)
    return bins.astype(jnp.uint8) if size <= 256 else bins


def _put(array):
    """On the CPU, also where an accelerator is the default device."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        device = None
    return jax.device_put(array, device)


def _words(packed):
    """uint8 ``[N, bytes]`` as words uint32 ``[W, N]``."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // 4) * 4), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(np.uint32).T)
