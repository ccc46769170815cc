"""The static part of a network: architecture, code length and preprocessing."""

import dataclasses
from collections.abc import Iterator
from dataclasses import field

from hashnet_jax.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Static description of a network; hashable, and saved with its weights.

    Attributes:
      backbone: a name in ``hashnet_jax.backbones.BACKBONES``.
      bits: K, the code length, >= 1.
      image_size: side of the backbone's square input image, in pixels.
      resize: side of the square that images are resized to, without keeping the aspect ratio,
        before the centre crop to ``image_size``, in pixels, >= ``image_size``.
      mean, std: per RGB channel, on a 0..1 scale; the backbone receives (x/255 - mean)/std.
      dtype: dtype of the computation, ``"float32"`` or ``"bfloat16"``; parameters are float32.

    Raises:
      ValueError: if values are out of range; the message has one line per problem.

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
        metadata={"help": "architecture", "choices": BACKBONES.keys, "metavar": "NAME"},
    )
    bits: int = field(default=48, metadata={"help": "code length K", "metavar": "K"})
    image_size: int = field(
        default=224,
        metadata={
            "help": "side of the backbone's input image",
            "metavar": "PIXELS",
            "group": "network",
        },
    )
    resize: int = field(
        default=256,
        metadata={
            "help": "side that images are resized to before the crop, without keeping their aspect "
            "ratio; scales with `image_size` unless given",
            "metavar": "PIXELS",
            "group": "network",
        },
    )
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    dtype: str = field(
        default="float32",
        metadata={
            "help": "dtype of the computation; parameters are float32",
            "choices": lambda: DTYPES,
            "group": "network",
        },
    )

    def __post_init__(self) -> None:
        # JSON has no tuples, and the fields must be hashable.
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        if self.backbone not in BACKBONES:
            yield f"`backbone` must be one of {', '.join(BACKBONES)}, got {self.backbone!r}."
        elif not BACKBONES[self.backbone].smallest <= self.image_size <= self.resize:
            yield (
                f"{self.backbone} needs {BACKBONES[self.backbone].smallest} <= `image_size` <= "
                f"`resize`, got {self.image_size} and {self.resize}."
            )
        if self.bits < 1:
            yield f"`bits` must be >= 1, got {self.bits}."
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            yield (
                f"`mean` and `std` must have three entries each, `std` > 0, got {self.mean} and "
                f"{self.std}."
            )
        if self.dtype not in DTYPES:
            yield f"`dtype` must be one of {', '.join(DTYPES)}, got {self.dtype!r}."

    @classmethod
    def for_backbone(cls, backbone: str, *, bits: int = 48, dtype: str = "float32") -> "ModelSpec":
        """Returns the spec with the image sizes, mean and std that the public weights expect.

        Args:
          backbone: a name in ``hashnet_jax.backbones.BACKBONES``.
          bits: K, the code length, >= 1.
          dtype: dtype of the computation.

        Raises:
          ValueError: as for :class:`ModelSpec`.

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
