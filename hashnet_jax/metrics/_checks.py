"""Argument checks for the metrics."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from hashnet_jax.codes import check_packed


def check_positive_int(name: str, value: object) -> None:
    """Raises unless ``value`` is an int >= 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` must be an int, got {type(value).__name__} {value!r}.")
    if value < 1:
        raise ValueError(f"`{name}` must be >= 1, got {value}.")


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

    ``zero_padding`` reads the padding bits, so it must be False in traced functions.
    """
    for name, packed in (("packed_queries", packed_queries), ("packed_database", packed_database)):
        check_packed(name, packed, bits, ndim=2, zero_padding=zero_padding)
    if 0 in (len(packed_queries), len(packed_database)):
        raise ValueError(
            "there must be at least one query and one code in the database, got "
            f"{len(packed_queries)} queries and {len(packed_database)} codes."
        )
    _check_labels("labels_q", labels_q, len(packed_queries))
    _check_labels("labels_db", labels_db, len(packed_database))
    if labels_q.shape[1:] != labels_db.shape[1:]:
        raise ValueError(
            "`labels_q` and `labels_db` must both be class ids, or both multi-hot with the same "
            f"number of classes C, got {labels_q.shape} and {labels_db.shape}."
        )


def _check_labels(name: str, labels: Shaped[Array | np.ndarray, "..."], n: int) -> None:
    if labels.ndim not in (1, 2) or len(labels) != n or 0 in labels.shape[1:]:
        raise ValueError(
            f"`{name}` must be class ids [{n}] or multi-hot [{n}, C], one row per code, got "
            f"{labels.shape}."
        )
    if labels.ndim == 1 and not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(
            f"`{name}` must have an integer dtype if they are class ids, got {labels.dtype}: use "
            "labels.astype(int), or multi-hot labels [N, C]."
        )
