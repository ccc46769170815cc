"""The data set type, and a check for inapplicable options."""

import dataclasses
from collections.abc import Collection

import numpy as np
from jaxtyping import Integer

from hashnet_jax.data._options import Options
from hashnet_jax.data.sources import ImageSource
from hashnet_jax.data.splits import Split

# Options grouped by the data they apply to: single-label, multi-label, the user's own files.
CLASS_FIELDS = ("queries_per_class", "train_per_class", "validation_per_class")
TOTAL_FIELDS = ("queries", "train_images", "validation_images")
FILE_FIELDS = ("lists", "image_root", "csv", "allow_overlap")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images by index, their labels, and the protocol's split.

    Attributes:
      name: name of the data set in ``DATASETS``.
      source: images uint8 ``[H, W, 3]`` by index, see :mod:`hashnet_jax.data.sources`.
      labels: class ids int ``[N]`` or multi-hot labels ``[N, C]``, indexed like the images.
      classes: names of the C classes.
      split: :class:`hashnet_jax.data.Split`.
      notes: one-sentence remarks about the data, for the user.
      names: names of the N images, saved with the run; empty if the images have no names.
      skipped: ``(name, reason)`` for each file that could not be read.
    """

    name: str
    source: ImageSource
    labels: Integer[np.ndarray, "N *C"]
    classes: tuple[str, ...]
    split: Split
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def reject_options(name: str, options: Options, fields: Collection[str], remedy: str) -> None:
    """Raises a ValueError if ``options`` sets a field that does not apply to the data set.

    Args:
      name: name of the data set.
      options: the options to check.
      fields: names of the options that do not apply.
      remedy: what to do instead, appended to the error message.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in fields and value != field.default:
            raise ValueError(f"{name} takes no `{field.name}`, got {value}: {remedy}.")
