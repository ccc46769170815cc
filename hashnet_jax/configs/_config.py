"""The config of a run, which determines its result."""

import contextlib
import dataclasses
import numbers
import os
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from hashnet_jax import ModelSpec
from hashnet_jax.configs._json_fields import wrong_fields
from hashnet_jax.configs.recipes import RECIPES, recipe_fields
from hashnet_jax.configs.variants import VARIANTS
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data.augmentation import AUGMENTATIONS
from hashnet_jax.distributed.reading import damage_named, read_json
from hashnet_jax.distributed.seals import unsealed
from hashnet_jax.training import TrainSpec, check_layer_decay

# The parts of a config, keyed by field name.
PARTS: dict[str, Any] = {"model": ModelSpec, "train": TrainSpec, "data": Options}

SELECTIONS = ("last", "best")

_WHAT = "the config of a run of this version of hashnet_jax"
_REMEDY = "restore it, or use the version that started the run"


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings that affect the result of a run, saved in the run folder as `config.json`.

    Attributes:
      dataset: name of a data set in ``hashnet_jax.data.DATASETS``.
      model: backbone, number of bits and preprocessing; see :class:`hashnet_jax.ModelSpec`.
      train: loss, optimizer and schedules; see :class:`hashnet_jax.training.TrainSpec`.
      data: paths to the data, and the split; see :class:`hashnet_jax.data.Options`.
      augmentation: name of an augmentation in ``hashnet_jax.data.augmentation.AUGMENTATIONS``; must
        be ``"none"`` with a frozen backbone, which sees each image only once.
      batch_size: global batch size, across all devices and processes.
      seed: seed for the weights, dropout and the data order, in 0..2**32 - 1.
      cutoff: R in MAP@R, >= 1; None for the whole database.
      checkpoint_every: steps between checkpoints, >= 1.
      validate_every: steps between validations; 0 for none.
      select: checkpoint to evaluate: ``"last"``, or ``"best"`` on the validation images.
      pretrained: initial backbone weights: ``"none"`` (random), ``"auto"`` (the published
        weights, downloaded once), the path to a weights file, or the folder of a finished run,
        whose hash layer is also loaded.
      pretrained_sha256: SHA-256 of the weights file, set when the run starts; None if there is no
        file.
      freeze_backbone: whether to freeze the backbone and train only the hash layer, on features
        that are computed once.

    Raises:
      ValueError: if values are out of range or contradict each other; the message has one line per
        problem.

    Examples:
      >>> from hashnet_jax.configs import CONFIGS
      >>> dataclasses.replace(CONFIGS["digits"], select="best", seed=-1)
      Traceback (most recent call last):
      ...
      ValueError: `seed` must be in 0..2**32 - 1, got -1.
      `select='best'` requires validation, but `validate_every` is 0. Set `validate_every`.
    """

    # Fields with `help` become command-line options; see hashnet_jax.cli._options.
    dataset: str = field(metadata={"help": "data set", "choices": DATASETS.keys, "metavar": "NAME"})
    model: ModelSpec
    train: TrainSpec
    data: Options
    augmentation: str = field(
        metadata={
            "help": "augmentation of the training images",
            "choices": AUGMENTATIONS.keys,
            "metavar": "NAME",
            "group": "method",
        }
    )
    batch_size: int = field(metadata={"help": "batch size, across all devices", "metavar": "N"})
    seed: int = field(
        default=0, metadata={"help": "seed for the weights and the data order", "metavar": "N"}
    )
    cutoff: int | None = field(
        default=None,
        metadata={
            "help": "R in MAP@R; all means the whole database",
            "words": {"all": None},
            "metavar": "R|all",
            "group": "protocol",
        },
    )
    checkpoint_every: int = field(
        default=500,
        metadata={"help": "steps between checkpoints", "metavar": "STEPS", "group": "run"},
    )
    validate_every: int = field(
        default=0,
        metadata={
            "help": "steps between validations; 0 for none",
            "metavar": "STEPS",
            "group": "run",
        },
    )
    select: str = field(
        default="last",
        metadata={
            "help": "checkpoint to evaluate: the last, or the one with the best MAP@R on the "
            "validation images, with R from `cutoff`",
            "choices": lambda: SELECTIONS,
            "group": "run",
        },
    )
    pretrained: str = field(
        default="none",
        metadata={
            "help": "initial backbone weights: auto (the published weights, downloaded once), none "
            "(random), a .pth or .safetensors file, or the folder of a finished run, whose hash "
            "layer is also loaded. Pretrained weights also determine the image size, mean and std",
            "metavar": "auto|none|FILE|RUN",
        },
    )
    pretrained_sha256: str | None = None
    freeze_backbone: bool = field(
        default=False,
        metadata={
            "help": "freeze the pretrained backbone, compute its features once, and train only the "
            "hash layer on them; takes minutes, whereas fine-tuning takes hours"
        },
    )

    def __post_init__(self) -> None:
        if problems := [*self._out_of_range(), *self._contradictions()]:
            raise ValueError("\n".join(problems))

    def _out_of_range(self) -> Iterator[str]:
        rules = {
            "dataset": (self.dataset in DATASETS, f"one of {', '.join(DATASETS)}"),
            "augmentation": (
                self.augmentation in AUGMENTATIONS
                or (self.freeze_backbone and self.augmentation == "none"),
                f"one of {', '.join(AUGMENTATIONS)}",
            ),
            "batch_size": (_is_integer(self.batch_size, 2), ">= 2"),
            "seed": (_is_integer(self.seed, 0) and self.seed < 2**32, "in 0..2**32 - 1"),
            "select": (self.select in SELECTIONS, "'last' or 'best'"),
            "cutoff": (
                self.cutoff is None or _is_integer(self.cutoff, 1),
                ">= 1, or None for the whole database",
            ),
            "checkpoint_every": (_is_integer(self.checkpoint_every, 1), ">= 1"),
            "validate_every": (
                _is_integer(self.validate_every, 0)
                and self.validate_every <= self.train.total_steps,
                f"in 0..{self.train.total_steps}, since there are only {self.train.total_steps} "
                "steps",
            ),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                yield f"`{name}` must be {rule}, got {getattr(self, name)!r}."

    def _contradictions(self) -> Iterator[str]:
        if self.select == "best" and not self.validate_every:
            yield (
                "`select='best'` requires validation, but `validate_every` is 0. Set "
                "`validate_every`."
            )
        if self.freeze_backbone and self.pretrained == "none":
            yield (
                "`freeze_backbone=True` requires pretrained weights. Set `pretrained`, e.g. use "
                "`backbone='efficientnet_lite0'` with `pretrained='auto'`."
            )
        elif self.train.backbone_mode == "inference" and self.pretrained == "none":
            yield (
                "`backbone_mode='inference'` requires pretrained weights, because the running "
                "statistics of a randomly initialized backbone are untrained. Set `pretrained`, or "
                "leave out `backbone_mode`."
            )
        if self.train.standardize and not self.freeze_backbone:
            yield (
                "`standardize=True` requires a frozen backbone, whose features do not change. Set "
                "`freeze_backbone=True`, or leave out `standardize`."
            )
        if self.train.hash_init == "lda-itq" and not self.freeze_backbone:
            yield (
                "`hash_init='lda-itq'` requires a frozen backbone, whose features are known before "
                "training. Set `freeze_backbone=True`, or leave out `hash_init`."
            )
        if self.train.layer_decay != 1 and self.freeze_backbone:
            yield (
                f"`layer_decay={self.train.layer_decay}` requires a trained backbone, but "
                "`freeze_backbone=True`. Leave out one of them."
            )
        try:
            check_layer_decay(self.train, backbone=self.model.backbone)
        except ValueError as error:
            yield str(error)
        if self.train.learning_rate is None and not self.freeze_backbone:
            yield (
                "`learning_rate=None` requires a frozen backbone, since the search trains many "
                "hash layers. "
                "Set `freeze_backbone=True`, or set `learning_rate`."
            )
        if self.freeze_backbone and self.augmentation != "none":
            yield (
                "`freeze_backbone=True` does not support augmentation, because features are "
                f"computed only once. Leave out `augmentation='{self.augmentation}'`."
            )

    @property
    def variant(self) -> str:
        """The name of the variant that matches ``train``, or "custom" if none does."""
        return next((name for name, fields in VARIANTS.items() if self._has(fields)), "custom")

    @property
    def recipe(self) -> str:
        """The name of the recipe that matches ``train``, or "custom" if none does."""
        setting: dict[str, Any] = {"bits": self.model.bits, "frozen": self.freeze_backbone}
        possible = RECIPES if self.freeze_backbone else [n for n in RECIPES if n != "unseen"]
        fields = {name: recipe_fields(name, **setting) for name in possible}
        return next((name for name in fields if self._has(fields[name])), "custom")

    def _has(self, fields: Mapping[str, Any]) -> bool:
        return all(getattr(self.train, name) == value for name, value in fields.items())

    def to_json(self) -> dict[str, Any]:
        """Returns the config as a JSON-serializable dict, with a nested dict for each part.

        Examples:
          >>> from hashnet_jax.configs import CONFIGS
          >>> CONFIGS["digits"].to_json()["model"]["bits"]
          48
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Config":
        """Restores a config from the output of :meth:`to_json`, with or without a hash.

        Fields that did not exist in older versions get their default values.

        Raises:
          ValueError: if fields are unknown, missing or of the wrong type, values are out of range,
            or the content does not match the hash. The message has one line per problem, but does
            not name the file.

        Examples:
          >>> from hashnet_jax.configs import CONFIGS
          >>> Config.from_json(CONFIGS["digits"].to_json()) == CONFIGS["digits"]
          True
        """
        content = unsealed(content)
        if problems := list(wrong_fields(cls, content)):
            raise ValueError("\n".join(problems))
        parts = {name: part(**_with_tuples(content[name])) for name, part in PARTS.items()}
        return cls(**content | parts)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Config":
        """Reads the `config.json` of a run.

        Raises:
          DamagedFile: if the file is damaged, or was written by an incompatible version.
          OSError: if the file cannot be read.

        Examples:
          >>> Config.read("runs/none/config.json")
          Traceback (most recent call last):
          ...
          FileNotFoundError: [Errno 2] No such file or directory: 'runs/none/config.json'
        """
        content = read_json(path, _WHAT, _REMEDY)
        with cls.damage_named(path):
            return cls.from_json(content)

    @staticmethod
    def damage_named(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
        """Adds the file name to errors that :meth:`from_json` raises for the file's content."""
        return damage_named(path, _WHAT, _REMEDY)


def _is_integer(value: Any, minimum: int) -> bool:
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_integer and int(value) >= minimum


def _with_tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    """Converts lists from JSON back to tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
