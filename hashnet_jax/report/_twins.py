"""Counts duplicate codes, and detects queries that are also in the database."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from hashnet_jax.data.retrieval_files import RetrievalFiles

# A hint is given if there are at least this many queries, at least this fraction of them has a
# twin, and at most this fraction of comparable database codes has a twin.
_FEWEST_QUERIES, _QUERY_SHARE, _DATABASE_SHARE = 10, 0.9, 0.5


class Twins(NamedTuple):
    """Counts of queries and database codes that have a duplicate in the database.

    Attributes:
      queries: Q, the number of queries.
      same_code: number of queries with the same code as a database image.
      same_code_and_labels: number of queries with the same code and labels as a database image.
      comparable: number of database codes whose labels also occur among the queries.
      comparable_twins: number of comparable database codes that have the same code and labels as
        another database image.
    """

    queries: int
    same_code: int
    same_code_and_labels: int
    comparable: int
    comparable_twins: int


def count_twins(files: RetrievalFiles) -> Twins:
    """Counts queries and database codes with a twin, i.e. an equal code, in the database."""
    codes, labels = _identify_codes(files), _identify_labels(files)
    both = codes * (1 + int(labels.max())) + labels
    both = np.unique(both, return_inverse=True)[1]
    n = len(files.query.packed)
    comparable = np.isin(labels[n:], labels[:n])
    return Twins(
        n,
        int(np.isin(codes[:n], codes[n:]).sum()),
        int(np.isin(both[:n], both[n:]).sum()),
        int(comparable.sum()),
        int((np.bincount(both[n:])[both[n:]] > 1)[comparable].sum()),
    )


def leak_hint(twins: Twins) -> Iterator[str]:
    """Yields a hint if queries have twins in the database far more often than database codes do.

    Twins (equal codes) are not an error: a good network maps many images of a class to the same
    code. In that case, however, many database codes are also equal to each other. If few database
    codes are equal but almost all queries have a twin, the queries are probably contained in the
    database.
    """
    if (
        twins.queries >= _FEWEST_QUERIES
        and twins.same_code_and_labels >= _QUERY_SHARE * twins.queries
        and twins.comparable_twins <= _DATABASE_SHARE * twins.comparable
    ):
        yield (
            f"{twins.same_code_and_labels:,} of {twins.queries:,} queries have the code and labels "
            f"of a database image, but only {twins.comparable_twins:,} of {twins.comparable:,} "
            f"database images with such labels share them with another database image. Check "
            f"whether the "
            "queries are in the database."
        )


def _identify_codes(files: RetrievalFiles) -> Int[np.ndarray, " n"]:
    return _identify(np.concatenate([files.query.packed, files.database.packed]))


def _identify_labels(files: RetrievalFiles) -> Int[np.ndarray, " n"]:
    labels = np.concatenate([files.query_labels.values, files.database_labels.values])
    if labels.ndim == 1:
        return np.unique(labels, return_inverse=True)[1]
    return _identify(np.packbits(labels, axis=1))


def _identify(rows: UInt8[np.ndarray, "n bytes"]) -> Int[np.ndarray, " n"]:
    """Numbers the distinct rows and returns the number of each row."""
    # Rows viewed as opaque values are sorted with memcmp, much faster than np.unique(axis=0).
    opaque = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1)
    return np.unique(opaque, return_inverse=True)[1]
