"""Encoded pictures inside larger files, decoded on access."""

from typing import NamedTuple, Protocol, SupportsIndex, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.data.decoder import UnreadablePicture
from hashnet_jax.data.sources import decode, decode_squashed, digest_record
from hashnet_jax.distributed.printing import printable


@runtime_checkable
class EncodedPictures(Protocol):
    """Gives access to encoded pictures by index; must be picklable for use in worker processes."""

    def __len__(self) -> int: ...

    def name(self, index: int, /) -> str:
        """Returns a name that is unique among these pictures, for messages and `pictures.json`."""
        ...

    def read(self, index: int, /) -> bytes:
        """Returns the content of a picture's file."""
        ...


class Labelled(NamedTuple):
    """Encoded pictures with their labels.

    Attributes:
      pictures: the N pictures.
      labels: the class ids of each picture; -1, or none, if it is not labelled.
      has_lists: whether the labels are stored as lists, even if each of them has one entry.
      classes: names of all classes, or None if they are not stored.
      notes: remarks for the user.
    """

    pictures: EncodedPictures
    labels: list[list[int]]
    has_lists: bool
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


class ShardSource:
    """Pictures in shards. The EXIF orientation is ignored, as for all published data sets.

    Args:
      pictures: the encoded pictures.

    Raises:
      DamagedFile: on access, if the file that contains a picture is damaged.
      OSError: on access, if a picture cannot be decoded; the message names it.
    """

    in_memory: bool = False

    def __init__(self, pictures: EncodedPictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        try:
            return decode(self._pictures.read(int(index)))
        except UnreadablePicture as error:
            raise self._unreadable(int(index), error) from error

    def squashed(self, index: SupportsIndex, size: int) -> UInt8[np.ndarray, "size size 3"]:
        try:
            return decode_squashed(self._pictures.read(int(index)), size)
        except UnreadablePicture as error:
            raise self._unreadable(int(index), error) from error

    def digest(self, index: SupportsIndex) -> bytes:
        """Returns the 32-byte hash of an encoded picture."""
        return digest_record(self._pictures.read(int(index)))

    def _unreadable(self, index: int, error: UnreadablePicture) -> OSError:
        return OSError(
            f"cannot read the picture {printable(self._pictures.name(index))} ({error}). Download "
            "the file that contains it again, or write it again without this picture."
        )
