"""The per-distance counts on the host: those of the device form, many times faster on a CPU.

XLA's histogram is a serial scatter on a CPU, some 13 ns a pair. Here a query meets the whole
database in a few passes of NumPy: XOR and popcount of 64 bits at once, a comparison of labels, and
``bincount`` over distance and relevance together, for two queries at once: under 2 ns a pair. A
second thread was tried and gained nothing.
"""

import numpy as np

from hashnet_jax.counting import check_filling, check_pairs, split_counts

# Codes of the database met at once: 1 MiB of words, which a core's cache holds.
_DATABASE_BLOCK = 2**17


def distance_counts_numpy(packed_queries, packed_database, labels_q, labels_db, *, bits):
    """:func:`distance_counts` with NumPy on the host: exactly the same counts, in bounded memory.

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
      >>> counts = distance_counts_numpy(codes[:1], codes, labels[:1], labels, bits=3)
      >>> counts.relevant, counts.total
      (array([[1, 1, 0, 0]], dtype=int32), array([[2, 1, 0, 0]], dtype=int32))
    """
    packed_queries, packed_database = np.asarray(packed_queries), np.asarray(packed_database)
    labels_q, labels_db = np.asarray(labels_q), np.asarray(labels_db)
    check_pairs(packed_queries, packed_database, labels_q, labels_db, bits)
    check_filling(packed_queries, packed_database, bits)
    queries, database = _words(packed_queries), _words(packed_database)
    if labels_q.ndim == 2:
        # Labels as bits, too: "shares a label" is then an AND, 64 classes at once.
        labels_q = _words(np.packbits(labels_q != 0, axis=1))
        labels_db = _words(np.packbits(labels_db != 0, axis=1))
    counts = np.zeros((len(packed_queries), 2 * (bits + 1)), np.int32)
    for start in range(0, len(packed_database), _DATABASE_BLOCK):
        block = slice(start, start + _DATABASE_BLOCK)
        bins = (
            _bins(queries[:, q], database[:, block], label, labels_db[..., block], bits)
            for q, label in enumerate(labels_q.T)
        )
        _add_histograms(counts, bins, codes=len(packed_database[block]))
    return split_counts(counts.reshape(-1, 2, bits + 1))


def _add_histograms(counts, bins, codes):
    """Adds to each row of ``counts`` the histogram of the bins ``[codes]`` of its query."""
    size = counts.shape[1]
    # One bincount over the combinations of two queries' bins costs little more than that of one,
    # as long as the table of combinations is small beside the codes, and fits uint16.
    paired = len(counts) // 2 * 2 if size * size <= min(codes, 2**16) else 0
    for q in range(0, paired, 2):
        pair = np.multiply(next(bins), size, dtype=np.uint16) + next(bins)
        table = np.bincount(pair, minlength=size * size).reshape(size, size)
        counts[q] += table.sum(axis=1)
        counts[q + 1] += table.sum(axis=0)
    for q, row in enumerate(bins, start=paired):
        counts[q] += np.bincount(row, minlength=size)


def _bins(query, database, label, labels, bits):
    """The bin of each code for one query: its distance, plus K + 1 if it is relevant."""
    bins = _distances(query, database, bits)
    bins += _similar(label, labels) * bins.dtype.type(bits + 1)
    return bins


def _distances(query, database, bits):
    """Distances ``[N]`` of words ``[W]`` to ``[W, N]``, in a type that holds 2 K + 1."""
    distance = np.bitwise_count(database[0] ^ query[0])
    distance = distance.astype(np.uint8 if 2 * bits + 1 <= 255 else np.uint16, copy=False)
    for word, words in zip(query[1:], database[1:], strict=True):
        distance += np.bitwise_count(words ^ word)
    return distance


def _similar(label, labels):
    """Which of N share a label: bool ``[N]``, from a class id and ``[N]`` or words ``[W, N]``."""
    if labels.ndim == 1:
        return labels == label
    shared = labels[0] & label[0]
    for word, words in zip(label[1:], labels[1:], strict=True):
        shared |= words & word
    return shared != 0


def _words(packed):
    """uint8 ``[N, bytes]`` as words ``[W, N]``, uint64 or one smaller that holds all the bytes."""
    width = min(8, 1 << (packed.shape[1] - 1).bit_length())
    padded = np.zeros((len(packed), -(-packed.shape[1] // width) * width), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(f"u{width}").T)
