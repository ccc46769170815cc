"""Label similarity: whether two images share labels, and the Jaccard index of their label sets."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Shaped

from hashnet_jax.losses._label_values import labels_on_device


def similarity(
    labels_a: Shaped[Array | np.ndarray, "B *C"], labels_b: Shaped[Array | np.ndarray, "N *C"]
) -> Bool[Array, "B N"]:
    """Returns a mask of the pairs of images that share at least one label.

    Args:
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]`` (0 or 1, any dtype).
      labels_b: labels in the same format, ``[N]`` or ``[N, C]``.

    Returns:
      The mask, bool ``[B, N]``. An image without labels is not similar to any image, not even to
      itself.

    Raises:
      ValueError: if the two arrays differ in format or number of classes, or labels are invalid
        (see :func:`check_label_values`).
      TypeError: if class ids are not integers.

    Examples:
      >>> similarity(jnp.array([0, 1]), jnp.array([1, 1, 0])).astype(int)
      Array([[0, 0, 1],
             [1, 1, 0]], dtype=int32)
    """
    labels_a, labels_b = check_labels(labels_a, labels_b)
    if labels_a.ndim == 1:
        return labels_a[:, None] == labels_b[None, :]
    return _shared(labels_a, labels_b) > 0


def jaccard(
    labels_a: Shaped[Array | np.ndarray, "B *C"], labels_b: Shaped[Array | np.ndarray, "N *C"]
) -> Float32[Array, "B N"]:
    """Returns the similarities c_ij of HashNet+C: the Jaccard index of the label sets of i and j.

    Args:
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``.
      labels_b: labels in the same format, ``[N]`` or ``[N, C]``.

    Returns:
      The similarities, float32 ``[B, N]`` in [0, 1]; 0 if neither image has a label. With class
      ids, the similarity is 1 for images of the same class, and 0 otherwise.

    Raises:
      ValueError: if the two arrays differ in format or number of classes, or labels are invalid
        (see :func:`check_label_values`).
      TypeError: if class ids are not integers.

    Examples:
      >>> jaccard(jnp.array([[1, 1, 0]]), jnp.array([[1, 0, 0], [0, 0, 1]]))
      Array([[0.5, 0. ]], dtype=float32)
    """
    labels_a, labels_b = check_labels(labels_a, labels_b)
    if labels_a.ndim == 1:
        return similarity(labels_a, labels_b).astype(jnp.float32)
    shared = _shared(labels_a, labels_b)
    counts_a = jnp.sum(labels_a != 0, axis=1, dtype=jnp.float32)
    counts_b = jnp.sum(labels_b != 0, axis=1, dtype=jnp.float32)
    either = counts_a[:, None] + counts_b[None, :] - shared
    return shared / jnp.maximum(either, 1.0)


def _shared(
    labels_a: Shaped[Array, "B C"], labels_b: Shaped[Array, "N C"]
) -> Float32[Array, "B N"]:
    # Float32 sums of 0/1 products are exact up to 2**24 labels, on any device.
    a, b = (labels_a != 0).astype(jnp.float32), (labels_b != 0).astype(jnp.float32)
    return a @ b.T


def check_labels(
    labels_a: Shaped[Array | np.ndarray, "B *C"], labels_b: Shaped[Array | np.ndarray, "N *C"]
) -> tuple[Shaped[Array, "B *C"], Shaped[Array, "N *C"]]:
    """Converts both label arrays to jax arrays; raises unless they have the same format."""
    labels_a = labels_on_device("labels_a", labels_a)
    labels_b = labels_on_device("labels_b", labels_b)
    shapes = f"but got {labels_a.shape} and {labels_b.shape}"
    if labels_a.ndim != labels_b.ndim:
        raise ValueError(
            "`labels_a` and `labels_b` must both be class ids, [B] and [N], or both multi-hot "
            f"labels, [B, C] and [N, C], {shapes}. Convert one of them to match the other."
        )
    if labels_a.ndim == 2 and labels_a.shape[1] != labels_b.shape[1]:
        raise ValueError(
            f"multi-hot labels must have the same number of classes C, {shapes}. Use the "
            "same list of classes for both."
        )
    return labels_a, labels_b
