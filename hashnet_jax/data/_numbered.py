"""Images in the order of the numbers that their publisher gave them.

A published data set is stored in many ways: as TFDS prepares it, which shuffles it, or as the files
that people download. The number of an image is the same everywhere, e.g. 10026 in
`n01440764_10026.JPEG`. In the order of these numbers, the same seed draws the same split and the
same batches from each form.
"""

import operator
from collections.abc import Iterator
from typing import NamedTuple, SupportsIndex

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from hashnet_jax.data.sources import ImageSource, PooledSource, digest_image


class ReorderedSource:
    """Some of a source's images, in another order.

    Args:
      source: the images to choose from.
      order: indices into ``source``, int ``[N]``.

    Examples:
      >>> from hashnet_jax.data import ArraySource
      >>> levels = np.arange(4, dtype=np.uint8)[:, None, None, None]
      >>> [int(image.max()) for image in ReorderedSource(ArraySource(levels), np.array([3, 1]))]
      [3, 1]
    """

    def __init__(self, source: ImageSource, order: Integer[np.ndarray, " N"]) -> None:
        self._source, self._order = source, order

    @property
    def in_memory(self) -> bool:
        return self._source.in_memory

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        return self._source[self._place(index)]

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        return self._source.squashed(self._place(index), size)

    def digest(self, index: SupportsIndex) -> bytes:
        """Returns the 32-byte hash of an image's content; see :func:`digest_image`."""
        return digest_image(self._source, self._place(index))

    def _place(self, index: SupportsIndex) -> int:
        return int(self._order[operator.index(index)])


class Numbered(NamedTuple):
    """Images with their labels and the numbers that their publisher gave them.

    Attributes:
      source: N images.
      labels: class ids int64 ``[N]`` or multi-hot labels int8 ``[N, C]``.
      numbers: the images' numbers, int64 ``[N]``.
    """

    source: ImageSource
    labels: Integer[np.ndarray, "N *C"]
    numbers: Int64[np.ndarray, " N"]

    def take(self, order: Integer[np.ndarray, " n"]) -> "Numbered":
        """Returns the images at the given indices, in this order."""
        source = ReorderedSource(self.source, order)
        return Numbered(source, self.labels[order], self.numbers[order])

    def by_number(self) -> "Numbered":
        """Returns the images in the order of their numbers."""
        return self.take(np.argsort(self.numbers, kind="stable"))

    def by_class_and_number(self) -> "Numbered":
        """Returns the single-label images class by class, without those that have label -1."""
        order = np.lexsort((self.numbers, self.labels))
        return self.take(order[self.labels[order] >= 0])


def pooled(parts: list[Numbered]) -> Numbered:
    """Concatenates parts of a data set."""
    return Numbered(
        PooledSource([part.source for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.numbers for part in parts]),
    )


def describe_count(what: str, *, published: int, found: int) -> Iterator[str]:
    """Yields a note if a data set has more or fewer images than its publisher says.

    Examples:
      >>> list(describe_count("queries", published=5000, found=4999))
      ['queries: 5,000 are published, but 4,999 were found']
    """
    if found != published:
        yield f"{what}: {published:,} are published, but {found:,} were found"
