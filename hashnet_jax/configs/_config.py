"""The config of a run: everything that determines its result."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from hashnet_jax import ModelSpec
from hashnet_jax.configs.variants import VARIANTS
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data.augmentation import AUGMENTATIONS
from hashnet_jax.training import TrainSpec

# The parts of a config, keyed by field name.
PARTS: dict[str, Any] = {"model": ModelSpec, "train": TrainSpec, "data": Options}

SELECTIONS = ("last", "best")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that determines the result of a run; saved with it as `config.json`.

    Attributes:
      dataset: a name in ``hashnet_jax.data.DATASETS``.
      model: :class:`hashnet_jax.ModelSpec`.
      train: :class:`hashnet_jax.training.TrainSpec`.
      data: :class:`hashnet_jax.data.Options`.
      augmentation: a name in ``hashnet_jax.data.augmentation.AUGMENTATIONS``; must be ``"none"``
        with a frozen backbone, which sees each image only once.
      batch_size: global batch size, across all devices and processes.
      seed: seed for the weights, dropout and the data order, in 0..2**32 - 1.
      cutoff: R in MAP@R, >= 1; None for the whole database.
      checkpoint_every: steps between checkpoints, >= 1.
      validate_every: steps between validations; 0 for none.
      select: checkpoint to evaluate: ``"last"``, or ``"best"`` on the validation images.
      pretrained: initial backbone weights: ``"none"`` (random), ``"auto"`` (from an installed
        package), the path of a weights file, or the folder of a finished run, whose hash layer is
        used as well.
      pretrained_sha256: SHA-256 of the weights file, set when the run starts; None if there is no
        file.
      freeze_backbone: whether to keep the backbone fixed and train only the hash layer, on
        features computed once.

    Raises:
      ValueError: if values are out of range or contradict each other; the message has one line per
        problem.

    Examples:
      >>> from hashnet_jax.configs import CONFIGS
      >>> dataclasses.replace(CONFIGS["digits"], select="best", seed=-1)
      Traceback (most recent call last):
      ...
      ValueError: `seed` must be in 0..2**32 - 1, got -1.
      `select='best'` needs validation, got `validate_every=0`: set `validate_every`.
    """

    # Fields with `help` become command-line options, see hashnet_jax.cli._options.
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
    batch_size: int = field(metadata={"help": "images per step, over all devices", "metavar": "N"})
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
            "help": "checkpoint to evaluate: the last, or the best on the validation images",
            "choices": lambda: SELECTIONS,
            "group": "run",
        },
    )
    pretrained: str = field(
        default="none",
        metadata={
            "help": "initial backbone weights: from an installed package (auto), random (none), "
            "from a .pth or .safetensors file, or from the folder of a finished run, whose hash "
            "layer is used as well. Pretrained weights also set the image size, mean and std",
            "metavar": "auto|none|FILE|RUN",
        },
    )
    pretrained_sha256: str | None = None
    freeze_backbone: bool = field(
        default=False,
        metadata={
            "help": "keep the pretrained backbone fixed, compute its features once, and train only "
            "the hash layer on them, which takes minutes where fine-tuning takes hours"
        },
    )

    def __post_init__(self) -> None:
        if problems := [*self._out_of_range(), *self._contradictions()]:
            raise ValueError("\n".join(problems))

    def _out_of_range(self) -> Iterator[str]:
        if not 0 <= self.seed < 2**32:
            yield f"`seed` must be in 0..2**32 - 1, got {self.seed}."
        if self.select not in SELECTIONS:
            yield f"`select` must be 'last' or 'best', got {self.select!r}."
        if self.cutoff is not None and self.cutoff < 1:
            yield f"`cutoff` must be >= 1, or None for the whole database, got {self.cutoff}."
        if self.checkpoint_every < 1:
            yield f"`checkpoint_every` must be >= 1, got {self.checkpoint_every}."
        if not 0 <= self.validate_every <= self.train.total_steps:
            yield (
                f"`validate_every` must be in 0..{self.train.total_steps}, the number of steps, "
                f"got {self.validate_every}: lower `validate_every`."
            )

    def _contradictions(self) -> Iterator[str]:
        if self.select == "best" and not self.validate_every:
            yield "`select='best'` needs validation, got `validate_every=0`: set `validate_every`."
        if self.freeze_backbone and self.pretrained == "none":
            yield (
                "`freeze_backbone=True` needs a pretrained backbone, got one with random weights: "
                "set `pretrained`, or use `backbone='efficientnet_lite0'` and `pretrained='auto'`."
            )
        elif self.train.backbone_mode == "inference" and self.pretrained == "none":
            yield (
                "`backbone_mode='inference'` needs pretrained weights, got random ones, whose "
                "running statistics are untrained: set `pretrained`, or leave it out."
            )
        if self.freeze_backbone and self.augmentation != "none":
            yield (
                "`freeze_backbone=True` computes features only once, without augmentation, got "
                f"`augmentation='{self.augmentation}'`: leave it out."
            )

    @property
    def variant(self) -> str:
        """The name in ``VARIANTS`` whose fields match ``train``, or "custom"."""
        for name, fields in VARIANTS.items():
            if dataclasses.replace(self.train, **fields) == self.train:
                return name
        return "custom"

    def to_json(self) -> dict[str, Any]:
        """The config as JSON values, with one dict per part.

        Examples:
          >>> from hashnet_jax.configs import CONFIGS
          >>> CONFIGS["digits"].to_json()["model"]["bits"]
          48
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Config":
        """Restores a config from :meth:`to_json`; fields unknown to older versions get defaults.

        Raises:
          ValueError: if fields are unknown or missing, or values are out of range.

        Examples:
          >>> from hashnet_jax.configs import CONFIGS
          >>> Config.from_json(CONFIGS["digits"].to_json()) == CONFIGS["digits"]
          True
        """
        content = dict(content)
        unknown = _unknown(cls, content)
        for name, part in PARTS.items():
            unknown += [f"{name}.{field}" for field in _unknown(part, content.get(name, {}))]
        if unknown:
            raise _foreign(f"unknown field {', '.join(unknown)}")
        try:
            parts = {name: part(**_with_tuples(content[name])) for name, part in PARTS.items()}
            return cls(**content | parts)
        except KeyError as error:
            raise _foreign(f"missing field {error.args[0]}") from error
        except TypeError as error:
            raise _foreign(str(error)) from error


def _unknown(part: Any, content: Mapping[str, Any]) -> list[str]:
    known = {each.name for each in dataclasses.fields(part)}
    return [name for name in content if name not in known]


def _with_tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    """Converts lists from JSON back to tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }


def _foreign(problem: str) -> ValueError:
    return ValueError(
        f"config.json does not match this version of hashnet_jax ({problem}): resume the run with "
        "the version that started it (stated in its result and report)."
    )
