"""Argument checks for the metrics."""

import numpy as np
from jaxtyping import Array, Shaped

from hashnet_jax.codes import check_packed, check_positive_int
from hashnet_jax.losses import check_label_values


def check_retrieval(
    packed_queries: Shaped[Array | np.ndarray, "..."],
    packed_database: Shaped[Array | np.ndarray, "..."],
    labels_q: Shaped[Array | np.ndarray, "..."],
    labels_db: Shaped[Array | np.ndarray, "..."],
    *,
    bits: int,
    zero_padding: bool,
) -> None:
    """Raises unless the arguments are packed codes and labels with matching shapes.

    Label values are checked unless they are traced. ``zero_padding`` says whether to check that the
    padding bits are zero; it must be False in traced functions, where the bits cannot be read.
    """
    check_positive_int("bits", bits)
    for name, packed in (("packed_queries", packed_queries), ("packed_database", packed_database)):
        check_packed(name, packed, bits, ndim=2, zero_padding=zero_padding)
    if 0 in (len(packed_queries), len(packed_database)):
        raise ValueError(
            "there must be at least one query and one code in the database, but got "
            f"{len(packed_queries)} queries and {len(packed_database)} codes."
        )
    check_label_pair(labels_q, labels_db, len(packed_queries), len(packed_database))


def check_label_pair(
    labels_q: Shaped[Array | np.ndarray, "..."],
    labels_db: Shaped[Array | np.ndarray, "..."],
    n_queries: int,
    n_database: int,
) -> None:
    """Checks that the label arrays match each other and the numbers of queries and codes."""
    _check_labels("labels_q", labels_q, n_queries)
    _check_labels("labels_db", labels_db, n_database)
    if labels_q.shape[1:] != labels_db.shape[1:]:
        raise ValueError(
            "`labels_q` and `labels_db` must both be class ids, or both multi-hot with the same "
            f"number of classes C, but got {labels_q.shape} and {labels_db.shape}."
        )


def check_vectors(
    queries: Shaped[Array | np.ndarray, "..."], database: Shaped[Array | np.ndarray, "..."]
) -> tuple[Shaped[np.ndarray, "Q K"], Shaped[np.ndarray, "N K"]]:
    """Converts the arguments to NumPy arrays; raises if a shape or an entry is invalid."""
    arrays = np.asarray(queries), np.asarray(database)
    if any(array.ndim != 2 for array in arrays) or arrays[0].shape[1:] != arrays[1].shape[1:]:
        raise ValueError(
            "`queries` and `database` must be [Q, K] and [N, K] with the same K, but got "
            f"{arrays[0].shape} and {arrays[1].shape}. Codes must not be packed."
        )
    if 0 in (*arrays[0].shape, len(arrays[1])):
        raise ValueError(
            "there must be at least one query, one vector in the database and one column, but got "
            f"shapes {arrays[0].shape} and {arrays[1].shape}."
        )
    for name, array in zip(("queries", "database"), arrays, strict=True):
        finite = np.isfinite(array)
        if not finite.all():
            row = int(np.argmax(~finite.all(axis=1)))
            raise ValueError(
                f"`{name}` must be finite, but row {row} contains NaN or infinity. Check the "
                "network, or leave the image out."
            )
    return arrays


def _check_labels(name: str, labels: Shaped[Array | np.ndarray, "..."], n: int) -> None:
    check_label_values(name, labels)
    if len(labels) != n:
        raise ValueError(
            f"`{name}` must be class ids [{n}] or multi-hot labels [{n}, C], one row per code, but "
            f"got {labels.shape}."
        )
