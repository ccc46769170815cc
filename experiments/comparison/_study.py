"""The data set, its cached features, and the settings of a study."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

import hashnet_jax
from hashnet_jax.cli import _options
from hashnet_jax.cli._messages import Flag, flags_of
from hashnet_jax.cli._start import initial_state
from hashnet_jax.configs import CONFIGS, VARIANTS, recipe_fields
from hashnet_jax.data import DATASETS, Dataset
from hashnet_jax.data.held_out import has_unseen_classes, held_out
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.training import CachedFeatures, TrainSpec, load_or_compute_features

# Options of run.py that the compared methods set themselves.
_SET_BY_METHODS = (
    *recipe_fields("improved", bits=1, frozen=True),
    *VARIANTS["hashnet"],
    "learning_rate",
    "hash_multiplier",
)


class Parts(NamedTuple):
    """Indices of the images that a method is trained on and evaluated with."""

    train: Int[np.ndarray, " N"]
    query: Int[np.ndarray, " Q"]
    database: Int[np.ndarray, " M"]


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """The data, and the settings that all methods share.

    Attributes:
      dataset: the data set with its split.
      features: features of all images in the split.
      title: the data set and the network that computed the features.
      spec: number of steps, and HashNet's hyperparameters for a frozen backbone.
      batch_size: number of images per batch.
      cutoff: R in MAP@R, or None for the whole database.
      content: hash of the features, the labels and the split.
    """

    dataset: Dataset
    features: CachedFeatures
    title: str
    spec: TrainSpec
    batch_size: int
    cutoff: int | None
    content: str

    @property
    def one_class(self) -> bool:
        """Whether all images have exactly one class."""
        return self.dataset.labels.ndim == 1 or bool((self.dataset.labels.sum(axis=1) == 1).all())

    @property
    def has_unseen_classes(self) -> bool:
        """Whether the queries and the database are from classes without training images."""
        return has_unseen_classes(self.dataset.labels, self.dataset.split)

    def multi_hot(self, indices: Int[np.ndarray, " N"]) -> Float[np.ndarray, "N C"]:
        """Returns the labels of images as multi-hot vectors."""
        labels = self.dataset.labels[indices]
        if labels.ndim == 1:
            labels = labels[:, None] == np.arange(len(self.dataset.classes))
        return (labels != 0).astype(np.float32)

    def final_parts(self) -> Parts:
        """Returns the protocol's training images, queries and database."""
        split = self.dataset.split
        return Parts(split.train, split.query, split.database)

    def validation_parts(self, seed: int) -> Parts:
        """Returns the images used to choose learning rates; none of them is a query.

        Args:
          seed: seed for the classes to hold out, if the queries are of unseen classes.
        """
        return Parts(*held_out(self.dataset.labels, self.dataset.split, seed=seed))


def parse_options(
    dataset: str, given: Sequence[str], options: Sequence[str]
) -> tuple[Any, dict[str, Flag]]:
    """Parses options of run.py.

    Args:
      dataset: name of the data set.
      given: options that the study sets itself.
      options: options that the user passes, which take precedence.

    Returns:
      The parsed arguments, and the flags that set each parameter, for error messages.
    """
    parser = _options.parser()
    parser.prog = "compare.py"
    args = parser.parse_args(["--dataset", dataset, *given, *options])
    flags = flags_of(parser)
    for name in (*_options.PRESETS, *_SET_BY_METHODS):
        if hasattr(args, name):
            flag = flags[name].name if name in flags else f"--{name}"
            parser.error(f"{flag} is set by each method. Leave it out.")
    return args, flags


def load_study(args: Any, folder: Path) -> Study:
    """Loads the data set, and loads or computes its features.

    Args:
      args: from :func:`parse_options`.
      folder: folder for the features, unless the options name another.
    """
    given = _options.overrides(args)
    config, execution = _options.config_of(args), _options.execution_of(args)
    # Only the hash layer is trained, even without pretrained weights.
    frozen = {"freeze_backbone": True, "pretrained": "auto", "recipe": "paper"}
    settings = _options.with_overrides(CONFIGS[config.dataset], given | frozen)
    dataset = DATASETS[config.dataset](config.data)
    features = load_or_compute_features(
        execution.feature_dir or folder,
        initial_state(config).params,
        dataset,
        devices=local_devices(execution.devices),
        workers=execution.workers,
    )
    weights = "random" if config.pretrained == "none" else "pretrained"
    return Study(
        dataset=dataset,
        features=features,
        title=f"{config.dataset}, features of {config.model.backbone} ({weights} weights)",
        spec=settings.train,
        batch_size=settings.batch_size,
        cutoff=config.cutoff,
        content=_content_hash(dataset, features),
    )


def _content_hash(dataset: Dataset, features: CachedFeatures) -> str:
    content = hashlib.sha256(hashnet_jax.__version__.encode())
    arrays = [features.array, features.indices, dataset.labels[features.indices]]
    for array in [*arrays, *dataset.split.parts().values()]:
        content.update(f"{array.dtype.str} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
