"""Backbone descriptions and their registry."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn

from hashnet_jax.backbones._tensors import Target

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class PublicWeights:
    """Published weights of a backbone.

    Attributes:
      tensor_names: zero-argument function that returns ``{name: Target}`` for every tensor that the
        weights file may hold, with None for tensors to skip; see
        :class:`hashnet_jax.backbones.Target`.
      url: URL of the weights file, or None.
      package: the Python package that ships the file, and the file's path in the package; or None.
      sha256: the file's SHA-256; or only its first digits, at least 8, if no more of it has been
        published; or None, if nothing is known of it. Without it, the file is never downloaded.
    """

    tensor_names: Callable[[], Mapping[str, Target | None]]
    url: str | None = None
    package: tuple[str, str] | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Backbone:
    """Describes a backbone: how to build it, which images it expects, and its public weights.

    Attributes:
      build: ``build(dtype=..., axis_name=...)`` returns a linen module that is called as
        ``module(images, train)`` and maps ``[B, H, W, 3]`` to features ``[B, D]``. Parameters are
        float32; ``dtype`` is used for the computation, and ``axis_name`` is the mapped axis over
        which batch statistics are computed.
      image_size: side length of the square input images that the backbone was designed for, in
        pixels.
      smallest: side length of the smallest images that the backbone accepts, in pixels.
      resize: side length of the square that images are resized to before they are cropped to
        ``image_size``, in pixels.
      mean, std: mean and standard deviation of each RGB channel on a 0..1 scale, as used to train
        the public weights.
      weights: the backbone's public weights, or None.
      first_layers: names of the layers and arrays before the first block, if the backbone's blocks
        are ``block1``, ``block2`` and so on, and learning rates may decay from block to block;
        otherwise empty.
    """

    build: Callable[..., nn.Module]
    image_size: int = 224
    smallest: int = 32
    resize: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    weights: PublicWeights | None = None
    first_layers: tuple[str, ...] = ()


BACKBONES: dict[str, Backbone] = {}


def register(name: str, backbone: Backbone) -> None:
    """Adds a backbone to ``BACKBONES``, where :class:`hashnet_jax.ModelSpec` finds it by name.

    Args:
      name: the value of ``ModelSpec.backbone`` that selects the backbone.
      backbone: description of the backbone; see :class:`Backbone`.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> register("alexnet", BACKBONES["alexnet"])
      Traceback (most recent call last):
      ...
      ValueError: a backbone named 'alexnet' is already registered. Choose another name.
    """
    if name in BACKBONES:
        raise ValueError(f"a backbone named {name!r} is already registered. Choose another name.")
    BACKBONES[name] = backbone
