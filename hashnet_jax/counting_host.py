"""The per-distance counts on the host: those of the device form, many times faster on a CPU.

XLA's histogram is a serial scatter on a CPU, some 13 ns a pair, where NumPy's ``bincount`` takes 1;
of distances, XLA computes several times as many a second as NumPy. So XLA computes the distances of
some queries, then ``bincount`` counts them, of two queries at once. Both at the same time, XLA in
its own threads, was tried, and was slower.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hashnet_jax.counting import check_filling, check_pairs, split_counts

# Codes of the database met at once, and queries: 4 MiB of distances of pairs.
_DATABASE_BLOCK, _QUERIES = 2**17, 16
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
    rows, order = (np.argsort(labels, kind="stable") for labels in (labels_q, labels_db))
    database, labels_db = database[:, order], labels_db[order]
    total = np.zeros((len(labels_q), size), np.int32)
    relevant = np.zeros_like(total)
    for start in range(0, len(labels_db), _DATABASE_BLOCK):
        of_block = labels_db[start : start + _DATABASE_BLOCK]
        block = database[:, start : start + _DATABASE_BLOCK]
        first, last = (np.searchsorted(of_block, labels_q, side) for side in ("left", "right"))
        for members, bins in _bins_of_pairs(rows, queries, block, size):
            _add(total, members, bins)
            for alike in _of_one_class(members, labels_q):
                row = next(member for member in alike if member is not None)
                _add(relevant, alike, bins[first[row] : last[row]])
    return np.stack([total - relevant, relevant], axis=1)


def _of_one_class(members, labels):
    """The members, or each by itself where they are of two classes, which is seldom."""
    if None in members or len({labels[member] for member in members}) == 1:
        return [members]
    return [(members[0], None), (None, members[1])]


def _count_multi_hot(queries, database, labels_q, labels_db, size):
    """Irrelevant and relevant counts int32 ``[Q, 2, size]``, labels being multi-hot."""
    # Labels as bits, too: "shares a label" is then an AND, 32 classes at once.
    labels_q, labels_db = (_words(np.packbits(of != 0, axis=1)) for of in (labels_q, labels_db))
    counts = np.zeros((queries.shape[1], 2 * size), np.int32)
    for start in range(0, database.shape[1], _DATABASE_BLOCK):
        block, of_block = (of[:, start : start + _DATABASE_BLOCK] for of in (database, labels_db))
        rows = np.arange(len(counts))
        for members, bins in _bins_of_pairs(rows, queries, block, 2 * size, labels_q, of_block):
            _add(counts, members, bins)
    return counts.reshape(-1, 2, size)


def _add(counts, members, bins):
    """Adds the histogram of ``bins`` to the rows ``members`` of ``counts``, where not None.

    Of two members, a bin is that of the first times the number of bins, plus that of the second.
    """
    size = counts.shape[1]
    table = np.bincount(bins, minlength=size ** len(members))
    if len(members) == 1:
        counts[members[0]] += table
        return
    table = table.reshape(size, size)
    for member, axis in zip(members, (1, 0), strict=True):
        if member is not None:
            counts[member] += table.sum(axis=axis)


def _bins_of_pairs(rows, queries, database, size, labels_q=None, labels_db=None):
    """For the queries ``rows``, one or two at a time, the bins ``[N]`` of the codes; see `_add`.

    A bin is a distance; with labels, irrelevant codes come first, relevant ones ``size / 2`` later.
    """
    n = database.shape[1]
    # A histogram over the combinations of two queries' bins costs little more than that of one, as
    # long as the table of combinations is small beside the codes, and fits a cache.
    paired = size * size <= min(n, 2**16)
    filled = max(_SMALLEST, 1 << (n - 1).bit_length())
    of_database = [
        None if of is None else _put(np.pad(of, ((0, 0), (0, filled - n))))
        for of in (database, labels_db)
    ]
    rows = list(rows) + [None] * (-len(rows) % _QUERIES)
    for first in range(0, len(rows), _QUERIES):
        some = rows[first : first + _QUERIES]
        given = [0 if row is None else row for row in some]
        labels = None if labels_q is None else labels_q[:, given]
        bins = np.asarray(_bins(queries[:, given], labels, *of_database, size, paired=paired))
        some = zip(some[0::2], some[1::2], strict=True) if paired else ((row,) for row in some)
        for members, of_members in zip(some, bins, strict=True):
            if members[0] is not None:
                yield members, of_members[:n]


@functools.partial(jax.jit, static_argnames="paired")
def _bins(queries, labels_q, database, labels_db, size, *, paired):
    """Bins int32 ``[Q, N]``, or of pairs ``[Q / 2, N]``, from words ``[W, Q]`` and ``[W, N]``."""
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
    return bins[0::2] * size + bins[1::2] if paired else bins


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
