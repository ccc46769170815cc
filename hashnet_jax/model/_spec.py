"""The static part of a network: architecture, code length and preprocessing."""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Iterator
from dataclasses import field

import numpy as np

from hashnet_jax.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Static, hashable description of a network; it is saved with the weights.

    Attributes:
      backbone: name of a backbone in ``hashnet_jax.backbones.BACKBONES``.
      bits: K, the code length, >= 1.
      image_size: side length of the backbone's square input image, in pixels.
      resize: side length of the square that images are resized to before the centre crop to
        ``image_size``, ignoring their aspect ratio; in pixels, >= ``image_size``.
      mean, std: mean and standard deviation of each RGB channel, on a 0..1 scale; the backbone
        receives (x/255 - mean)/std.
      dtype: dtype of the computation, ``"float32"`` or ``"bfloat16"``; parameters are float32.

    Raises:
      ValueError: if values are out of range; the message has one line for each problem.

    Examples:
      >>> ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8).bits
      12
      >>> ModelSpec(backbone="lenet")
      Traceback (most recent call last):
      ...
      ValueError: `backbone` must be one of small_cnn, alexnet, vgg11, ..., got 'lenet'.
    """

    # Fields with a `help` become command-line options; see hashnet_jax.cli._options.
    backbone: str = field(
        default="alexnet",
        metadata={"help": "backbone architecture", "choices": BACKBONES.keys, "metavar": "NAME"},
    )
    bits: int = field(default=48, metadata={"help": "code length K", "metavar": "K"})
    image_size: int = field(
        default=224,
        metadata={
            "help": "side length of the backbone's input images",
            "metavar": "PIXELS",
            "group": "network",
        },
    )
    resize: int = field(
        default=256,
        metadata={
            "help": "side length that images are resized to before cropping, ignoring their aspect "
            "ratio; scales with `image_size` by default",
            "metavar": "PIXELS",
            "group": "network",
        },
    )
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    dtype: str = field(
        default="float32",
        metadata={
            "help": "dtype used for computation; parameters are always float32",
            "choices": lambda: DTYPES,
            "group": "network",
        },
    )

    def __post_init__(self) -> None:
        # The fields must be hashable, and JSON has none of NumPy's integers.
        for name, value in (("mean", self.mean), ("std", self.std)):
            object.__setattr__(self, name, tuple(value) if isinstance(value, Iterable) else value)
        for name, value in self._sizes():
            if isinstance(value, np.integer):
                object.__setattr__(self, name, int(value))
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        wrong = [(name, value) for name, value in self._sizes() if type(value) is not int]
        yield from (f"`{name}` must be an int, got {value!r}." for name, value in wrong)
        if not isinstance(self.backbone, str) or self.backbone not in BACKBONES:
            yield f"`backbone` must be one of {', '.join(BACKBONES)}, got {self.backbone!r}."
        elif not wrong and not self._smallest() <= self.image_size <= self.resize:
            yield (
                f"{self.backbone} needs {self._smallest()} <= `image_size` <= "
                f"`resize`, got {self.image_size} and {self.resize}."
            )
        if not wrong and self.bits < 1:
            yield f"`bits` must be >= 1, got {self.bits}."
        if not _three_numbers(self.mean) or not _three_numbers(self.std) or min(self.std) <= 0:
            yield (
                "`mean` and `std` must have three finite entries each, with `std` > 0, got "
                f"{self.mean} and {self.std}."
            )
        if self.dtype not in DTYPES:
            yield f"`dtype` must be one of {', '.join(DTYPES)}, got {self.dtype!r}."

    def _sizes(self) -> tuple[tuple[str, int], ...]:
        return ("bits", self.bits), ("image_size", self.image_size), ("resize", self.resize)

    def _smallest(self) -> int:
        return BACKBONES[self.backbone].smallest

    @classmethod
    def for_backbone(cls, backbone: str, *, bits: int = 48, dtype: str = "float32") -> "ModelSpec":
        """Returns the spec with the image sizes, mean and std that the public weights expect.

        Args:
          backbone: name of a backbone in ``hashnet_jax.backbones.BACKBONES``.
          bits: K, the code length, >= 1.
          dtype: dtype of the computation.

        Raises:
          ValueError: if values are out of range; see :class:`ModelSpec`.

        Examples:
          >>> spec = ModelSpec.for_backbone("vit_b16", bits=64)
          >>> spec.bits, spec.image_size, spec.resize, spec.mean
          (64, 224, 248, (0.5, 0.5, 0.5))
        """
        spec = cls(backbone, bits=bits, dtype=dtype)
        expected = BACKBONES[backbone]
        return dataclasses.replace(
            spec,
            image_size=expected.image_size,
            resize=expected.resize,
            mean=expected.mean,
            std=expected.std,
        )


def _three_numbers(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(isinstance(value, numbers.Real) and math.isfinite(value) for value in values)
    )
