"""The `Dataset` type, and a check for options that do not apply to a data set."""

import dataclasses
from collections.abc import Collection

import numpy as np
from jaxtyping import Int64, Integer

from hashnet_jax.data._options import Options
from hashnet_jax.data.sources import ImageSource
from hashnet_jax.data.splits import Split
from hashnet_jax.losses import check_label_values

# Options that apply only to single-label data, multi-label data, the user's own files, or data
# that can be read from files.
CLASS_FIELDS = ("queries_per_class", "train_per_class", "validation_per_class")
TOTAL_FIELDS = ("queries", "train_images", "validation_images")
UNSEEN_FIELDS = ("unseen_classes",)
OWN_FILE_FIELDS = ("lists", "csv", "allow_overlap")
FILE_FIELDS = (*OWN_FILE_FIELDS, "image_root")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images accessed by index, their labels, and the protocol's split.

    Attributes:
      name: name of the data set in ``DATASETS``.
      source: images uint8 ``[H, W, 3]``, accessed by index; see :mod:`hashnet_jax.data.sources`.
      labels: class ids int ``[N]`` or multi-hot labels ``[N, C]``, indexed like the images.
      classes: names of the C classes.
      split: indices of the query, database and training images; see
        :class:`hashnet_jax.data.Split`.
      notes: short remarks about the data, printed for the user.
      names: names of the N images, saved with the run; empty if the images have no names.
      skipped: ``(name, reason)`` for each file that was skipped or could not be read.

    Raises:
      ValueError: if the labels are invalid (see :func:`hashnet_jax.losses.check_label_values`),
        the number of labels, or of names (if any), differs from the number of images, the labels
        have more classes than ``classes``, or the split contains an index that is out of range.
    """

    name: str
    source: ImageSource
    labels: Integer[np.ndarray, "N *C"]
    classes: tuple[str, ...]
    split: Split
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_label_values("labels", self.labels)
        _check_sizes(self)


def _check_sizes(dataset: Dataset) -> None:
    for name, values in (("labels", dataset.labels), ("names", dataset.names)):
        if len(values) != len(dataset.source) and (len(values) or name == "labels"):
            raise ValueError(
                f"`{name}` must have one entry for each of the {len(dataset.source):,} images of "
                f"the data set {dataset.name}, got {len(values):,}."
            )
    used = np.unique(np.concatenate(list(dataset.split.parts().values())))
    if used[0] < 0 or used[-1] >= len(dataset.source):
        raise ValueError(
            f"`split` must contain indices of the {len(dataset.source):,} images in the data set "
            f"{dataset.name}, got indices in {used[0]}..{used[-1]}."
        )
    _check_classes(dataset, used)


def _check_classes(dataset: Dataset, used: Int64[np.ndarray, " n"]) -> None:
    labels, n_classes = dataset.labels[used], len(dataset.classes)
    if labels.ndim == 1 and labels.min() < 0:  # images outside the split may have label -1
        first = int(used[np.argmax(labels < 0)])
        raise ValueError(
            "class ids must be indices into `classes`, starting from 0, but the data set "
            f"{dataset.name} has labels[{first}] = {dataset.labels[first]}."
        )
    n_labels = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    if n_labels > n_classes:
        raise ValueError(
            f"`classes` must name each of the {n_labels:,} classes of the data set {dataset.name}, "
            f"got {n_classes:,} names."
        )


def reject_options(name: str, options: Options, fields: Collection[str], remedy: str) -> None:
    """Raises a ValueError if ``options`` sets a field that does not apply to the data set.

    Args:
      name: name of the data set.
      options: the options to check.
      fields: names of the options that do not apply.
      remedy: what to do instead, appended to the error message as a sentence.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in fields and value != field.default:
            raise ValueError(
                f"`{field.name}` does not apply to {name}, but is set to {value}. {remedy}."
            )
