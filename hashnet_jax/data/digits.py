"""The handwritten digits that ship with scikit-learn."""

from typing import Any

import numpy as np

from hashnet_jax.data._class_split import split_by_class
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data.sources import ArraySource
from hashnet_jax.data.unseen_classes import describe_unseen

# Pixel values range from 0 to 16.
_MAX_LEVEL = 16


def load(options: Options) -> Dataset:
    """Loads scikit-learn's 1,797 handwritten 8x8 digits, which need no download.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` in which
        ``queries_per_class`` must be set.

    Returns:
      :class:`hashnet_jax.data.Dataset` with class ids int64 ``[N]`` as labels.

    Raises:
      ValueError: if ``queries_per_class`` is None, or an option does not apply to single-label
        data.

    Examples:
      >>> load(Options(queries_per_class=20, train_per_class=100)).split.sizes()
      {'train': 1000, 'query': 200, 'database': 1597, 'validation': 0}
    """
    from sklearn.datasets import load_digits

    loaded: Any = load_digits()
    images = np.round(loaded.images * (255 / _MAX_LEVEL)).astype(np.uint8)[..., None]
    labels = loaded.target.astype(np.int64)
    classes = tuple(str(name) for name in loaded.target_names)
    split = split_by_class("digits", labels, options)
    notes = describe_unseen(labels, classes, split)
    return Dataset("digits", ArraySource(images), labels, classes, split, notes)
