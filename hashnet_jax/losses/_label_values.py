"""Checks the values of labels. Invalid labels could make every pair of images similar."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from hashnet_jax.codes import visible_values


def check_label_values(name: str, labels: Shaped[Array | np.ndarray, "..."]) -> None:
    """Checks that labels are class ids or multi-hot labels of 0 and 1.

    A nonzero entry of a multi-hot label means "has this class". With -1 in place of 0, or with
    class ids in a column ``[N, 1]``, every image would therefore be similar to every other.

    Args:
      name: name of the parameter, used in error messages.
      labels: the labels to check. The shape and dtype are always checked, but the values only if
        the array is not traced.

    Raises:
      ValueError: if the shape is neither ``[N]`` nor ``[N, C]`` with C >= 1, if the labels are a
        column ``[N, 1]`` of any dtype except bool, or if a multi-hot label has an entry other
        than 0 and 1.
      TypeError: if class ids are not integers.

    Examples:
      >>> check_label_values("labels", np.array([2, 0, 1]))
      >>> check_label_values("labels", np.array([[1.0, -1.0], [-1.0, 1.0]]))
      Traceback (most recent call last):
      ...
      ValueError: multi-hot labels must be 0 or 1, but `labels`[0, 1] is -1.0. If -1 means "not of
      this class", use labels > 0.
    """
    shape = tuple(labels.shape)
    if len(shape) not in (1, 2) or shape[1:] == (0,):
        raise ValueError(
            f"`{name}` must be class ids [N] or multi-hot labels [N, C], but got shape {shape}."
        )
    if len(shape) == 1 and not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(
            f"class ids must be integers, got {labels.dtype} in `{name}`. Use labels.astype(int), "
            "or pass multi-hot labels [N, C]."
        )
    if len(shape) == 2 and labels.dtype != bool:
        _check_multi_hot(name, labels)


def labels_on_device(
    name: str, labels: Shaped[Array | np.ndarray, "N *C"]
) -> Shaped[Array, "N *C"]:
    """Checks labels and converts them to a jax array without changing any class id.

    Args:
      name: name of the parameter, used in error messages.
      labels: class ids, integer ``[N]``, or multi-hot labels ``[N, C]``.

    Returns:
      A jax array of the same shape.

    Raises:
      ValueError: if :func:`check_label_values` rejects the labels, or if a class id does not fit in
        jax's integers, which have 32 bits by default.
      TypeError: if class ids are not integers.

    Examples:
      >>> labels_on_device("labels", np.array([2, 2**32 + 2]))
      Traceback (most recent call last):
      ...
      ValueError: class ids must fit in int32, but `labels`[1] is 4294967298. Number the classes
      from 0, e.g. with np.unique(labels, return_inverse=True).
    """
    if not isinstance(labels, jax.Array):
        labels = np.asarray(labels)
    check_label_values(name, labels)
    on_device = jnp.asarray(labels)
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        limits = jnp.iinfo(on_device.dtype)
        outside = (labels < limits.min) | (labels > limits.max)
        if outside.any():
            i = int(np.argmax(outside))
            raise ValueError(
                f"class ids must fit in {on_device.dtype}, but `{name}`[{i}] is {labels[i]}. "
                "Number the classes from 0, e.g. with np.unique(labels, return_inverse=True)."
            )
    return on_device


def _check_multi_hot(name: str, labels: Shaped[Array | np.ndarray, "N C"]) -> None:
    if labels.shape[1] == 1:
        raise ValueError(
            f"`{name}` must be class ids [N] or multi-hot labels [N, C] of several classes, but "
            f"got a column {tuple(labels.shape)}. Use labels.ravel() if these are class ids, or "
            "labels.astype(bool) if they are multi-hot labels of a single class."
        )
    values = visible_values(labels)
    if values is None:
        return
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
        value = values[row, column]
        raise ValueError(
            f"multi-hot labels must be 0 or 1, but `{name}`[{row}, {column}] is {value}. "
            f"{_remedy(float(value))}"
        )


def _remedy(value: float) -> str:
    if value == -1:
        return 'If -1 means "not of this class", use labels > 0.'
    if value > 1 and value.is_integer():
        return "Use labels.ravel() if these are class ids, or labels > 0 if they are counts."
    return "Choose a threshold for the scores, e.g. labels >= 0.5."
