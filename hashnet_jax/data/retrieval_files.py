"""Reads the codes and labels of a query set and a database, and checks that they match."""

from typing import NamedTuple

import numpy as np

from hashnet_jax.data.code_files import CodeFile, read_codes
from hashnet_jax.data.label_files import LabelFile, read_labels


class RetrievalFiles(NamedTuple):
    """The codes and labels of Q queries and N database images, checked for consistency."""

    query: CodeFile
    database: CodeFile
    query_labels: LabelFile
    database_labels: LabelFile

    @property
    def bits(self) -> int:
        """K, the number of bits per code."""
        return self.database.bits

    @property
    def is_multi_hot(self) -> bool:
        """Whether the labels are multi-hot rather than class ids."""
        return self.database_labels.values.ndim == 2


def read_retrieval_files(
    *,
    query_codes: str,
    database_codes: str,
    query_labels: str,
    database_labels: str,
    bits: int | None = None,
) -> RetrievalFiles:
    """Reads the codes and labels of the queries and the database from four files.

    For the file formats, see :func:`read_codes` and :func:`read_labels`.

    Args:
      query_codes: file with the codes of the Q queries.
      database_codes: file with the N database codes, which must have as many bits as the query
        codes.
      query_labels: file with the labels of the queries: class ids ``[Q]`` or multi-hot ``[Q, C]``.
      database_labels: file with the labels of the database, in the same format.
      bits: K, the number of bits per code; required for packed codes.

    Returns:
      The codes and labels.

    Raises:
      FileNotFoundError: if a file does not exist.
      ValueError: if a file is invalid, or the files do not match each other.
      TypeError: if ``bits`` is not an int.
    """
    files = RetrievalFiles(
        read_codes(query_codes, bits=bits),
        read_codes(database_codes, bits=bits),
        read_labels(query_labels),
        read_labels(database_labels),
    )
    if files.query.bits != files.database.bits:
        raise ValueError(
            "queries and database must have the same number of bits, but "
            f"{files.query.name} has {files.query.bits} ({files.query.encoding}) and "
            f"{files.database.name} has {files.database.bits} ({files.database.encoding}). Pass "
            "codes from the same network."
        )
    _check_rows(files.query, files.query_labels)
    _check_rows(files.database, files.database_labels)
    _check_same_labels(files)
    return files


def _check_rows(codes: CodeFile, labels: LabelFile) -> None:
    n = len(codes.packed)
    if n == len(labels.values):
        return
    remedy = "Pass the labels of these codes, in the same order."
    if len(labels.values) == codes.bits:
        remedy = "If the codes are the columns of this array, transpose it."
    raise ValueError(
        f"there must be one label per code, but {codes.name} has {n:,} codes ({codes.encoding}), "
        f"and {labels.name} has {len(labels.values):,} labels ({labels.encoding}). {remedy}"
    )


def _check_same_labels(files: RetrievalFiles) -> None:
    query, database = files.query_labels, files.database_labels
    if query.values.shape[1:] == database.values.shape[1:]:
        return
    raise ValueError(
        "the labels of queries and database must both be class ids, or both multi-hot with the "
        f"same number of classes, but {query.name} has {_kind(query)}, and {database.name} has "
        f"{_kind(database)}. Convert one of them to the format of the other."
    )


def _kind(labels: LabelFile) -> str:
    is_ids = labels.values.ndim == 1
    return "class ids" if is_ids else f"multi-hot labels of {np.shape(labels.values)[1]} classes"
