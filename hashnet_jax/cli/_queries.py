"""Checks and encodes the queries of a search, and reports those that cannot be read."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from hashnet_jax.cli._query_network import QueryNetwork
from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import decode_pictures, expand, list_pictures

# Small, because the last batch is padded: a few queries cost as much as a full batch.
MAX_QUERY_BATCH_SIZE = 16


class Queries(NamedTuple):
    """The query pictures that could be read.

    Attributes:
      paths: paths to the query pictures.
      packed: packed codes, uint8 ``[Q, ceil(K/8)]``.
      logits: the queries' logits, float32 ``[Q, K]``.
    """

    paths: list[str]
    packed: UInt8[np.ndarray, "Q bytes"]
    logits: Float32[np.ndarray, "Q K"]


def check_numbers(k: int, rescore: int | None) -> None:
    """Raises a ValueError if k < 1 or ``rescore`` < k."""
    if k < 1:
        raise ValueError(f"`k` must be >= 1, got {k}.")
    if rescore is not None and rescore < k:
        raise ValueError(
            f"`rescore` must be at least {k}, the number of neighbours shown (`k`), got {rescore}."
        )


def list_queries(queries: Iterable[str]) -> list[Path]:
    """Expands files, folders and globs into a list of picture files.

    Raises:
      FileNotFoundError: if an entry of ``queries`` matches nothing.
    """
    return [Path(path) for path in list_pictures(expand(queries), _skip)]


def batch_size_of(queries: Sequence[Path]) -> int:
    """Returns the batch size: a power of two, so programs are compiled for only a few sizes."""
    return min(MAX_QUERY_BATCH_SIZE, 1 << max(0, len(queries) - 1).bit_length())


def encode_queries(network: QueryNetwork, queries: Sequence[Path]) -> Queries:
    """Encodes picture files; unreadable pictures are reported and skipped.

    Raises:
      ValueError: if no query can be read.
    """
    paths, rows = [], []
    batches = decode_pictures(queries, side=network.side, batch_size=network.batch_size)
    for batch, reasons, images in batches:
        readable = [i for i, reason in enumerate(reasons) if reason is None]
        rows.append(network(images)[readable])
        paths += [os.fspath(batch[i]) for i in readable]
        for path, reason in zip(batch, reasons, strict=True):
            if reason is not None:
                _skip(os.fspath(path), reason)
    if not paths:
        raise ValueError("none of the queries could be read. Pass at least one readable picture.")
    logits = np.concatenate(rows)
    # Equivalent to binarize and pack_bits, but without compilation; sgn(0) = +1.
    return Queries(paths, np.packbits(logits >= 0, axis=1), logits)


def _skip(path: str, reason: str) -> None:
    print(f"skipped {printable(path)}: {reason}", file=sys.stderr)
