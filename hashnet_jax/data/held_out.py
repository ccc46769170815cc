"""Which images settings may be chosen on, without looking at a query."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer

from hashnet_jax.data.splits import Split

# One in this many training images of each class is held out if there are no validation images.
HELD_OUT = 4


class HeldOut(NamedTuple):
    """Indices of the images on which settings are chosen.

    Attributes:
      train: training images, which are also the database.
      query: the images that search them.
    """

    train: Int64[np.ndarray, " N"]
    query: Int64[np.ndarray, " Q"]


def held_out(labels: Integer[np.ndarray, "N *C"], split: Split) -> HeldOut:
    """Returns images on which settings can be chosen; none of them is a query.

    The validation images of the split search its training images. If the split has none, a quarter
    of the training images, drawn within each class, searches the others. Of images with several
    labels, the quarter is drawn from all.

    Args:
      labels: labels of all images, class ids ``[N]`` or multi-hot ``[N, C]``.
      split: the split.

    Raises:
      ValueError: if there are too few images to hold any out.

    Examples:
      >>> labels = np.repeat(np.arange(2), 10)
      >>> split = Split(train=np.arange(4, 20), query=[0, 1], database=[2, 3])
      >>> [part.size for part in held_out(labels, split)]
      [13, 3]
    """
    if len(split.validation):
        return HeldOut(split.train, split.validation)
    chosen = _quarter(labels[split.train])
    if not len(chosen):
        raise ValueError(
            f"a class must have at least {HELD_OUT} training images to choose learning rates "
            "on a part of them. Add images, or set `validation_per_class`."
        )
    rest = np.setdiff1d(np.arange(len(split.train)), chosen)
    return HeldOut(split.train[rest], split.train[chosen])


def _quarter(labels: Integer[np.ndarray, "N *C"]) -> Int64[np.ndarray, " n"]:
    order = np.random.default_rng(0).permutation(len(labels))
    if labels.ndim == 2:
        return np.sort(order[: len(order) // HELD_OUT])
    groups = [order[labels[order] == label] for label in np.unique(labels)]
    return np.sort(np.concatenate([group[: len(group) // HELD_OUT] for group in groups]))
