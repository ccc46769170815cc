"""The order of training images: batch t depends only on (seed, t)."""

import functools

import numpy as np
from jaxtyping import Int

# Independent random streams derived from one seed.
ORDER_STREAM, AUGMENTATION_STREAM = 0, 1


def check_batch_size(batch_size: int, *, n_train: int) -> None:
    """Raises a ValueError unless 2 <= ``batch_size`` <= ``n_train``."""
    if not 2 <= batch_size <= n_train:
        raise ValueError(
            f"`batch_size` must be in 2..{n_train} (the number of training images), got "
            f"{batch_size}. A pairwise loss needs at least two images, and a batch must not "
            "contain the same image twice."
        )


def batch_positions(seed: int, t: int, *, n: int, batch_size: int) -> Int[np.ndarray, " B"]:
    """Selects the training images of batch t in an endless stream of shuffled epochs.

    An epoch consists of whole batches, since a batch that spans two epochs could contain an image
    twice. The images left over at the end of an epoch may appear in the next one, which is shuffled
    differently.

    Args:
      seed: seed for shuffling, >= 0.
      t: batch index, >= 0.
      n: number of training images.
      batch_size: B, the number of images per batch, in 1..n.

    Returns:
      Distinct positions among the training images, int ``[B]`` in 0..n-1, read-only.

    Examples:
      >>> [batch_positions(0, t, n=5, batch_size=2).tolist() for t in range(3)]
      [[2, 4], [3, 0], [1, 3]]
    """
    epoch, place = divmod(t, n // batch_size)
    return _epoch_order(seed, epoch, n)[place * batch_size : (place + 1) * batch_size]


# Shared by the threads of a process, which work on at most two consecutive epochs at a time.
@functools.lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, n: int) -> Int[np.ndarray, " n"]:
    """Returns the order of the n training images in an epoch.

    grain's own shuffle takes about 20 microseconds to encrypt each index. For images as small as
    those of the digits data set, all other processing of an image takes far less time.
    """
    order = np.random.default_rng((seed, ORDER_STREAM, epoch)).permutation(n)
    order.setflags(write=False)
    return order
