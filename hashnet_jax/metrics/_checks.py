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

    Label values are checked unless they are traced. ``zero_padding`` reads the padding bits, so it
    must be False in traced functions.
    """
    check_positive_int("bits", bits)
    for name, packed in (("packed_queries", packed_queries), ("packed_database", packed_database)):
        check_packed(name, packed, bits, ndim=2, zero_padding=zero_padding)
    if 0 in (len(packed_queries), len(packed_database)):
        raise ValueError(
            "there must be at least one query and one code in the database, but got "
            f"{len(packed_queries)} queries and {len(packed_database)} codes."
        )
    _check_labels("labels_q", labels_q, len(packed_queries))
    _check_labels("labels_db", labels_db, len(packed_database))
    if labels_q.shape[1:] != labels_db.shape[1:]:
        raise ValueError(
            "`labels_q` and `labels_db` must both be class ids, or both multi-hot with the same "
            f"number of classes C, but got {labels_q.shape} and {labels_db.shape}."
        )


def _check_labels(name: str, labels: Shaped[Array | np.ndarray, "..."], n: int) -> None:
    check_label_values(name, labels)
    if len(labels) != n:
        raise ValueError(
            f"`{name}` must be class ids [{n}] or multi-hot labels [{n}, C], one row per code, but "
            f"got {labels.shape}."
        )
