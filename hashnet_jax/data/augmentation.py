"""Batch augmentation for training, in uint8 on the host.

An augmentation is a function ``(images, spec, rng) -> images``, from uint8 ``[B, R, R, 3]`` with
R = ``spec.resize`` to uint8 ``[B, S, S, 3]`` with S = ``spec.image_size``. The input images have
already been resized to squares, ignoring aspect ratio. Random numbers are drawn separately for each
image, from the ``numpy.random.Generator`` ``rng``. To add an augmentation, write such a function
and register it below.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hashnet_jax.model import ModelSpec

Augmentation = Callable[
    [UInt8[np.ndarray, "B R R 3"], ModelSpec, np.random.Generator], UInt8[np.ndarray, "B S S 3"]
]

AUGMENTATIONS: dict[str, Augmentation] = {}


def register(name: str, augmentation: Augmentation) -> None:
    """Registers an augmentation.

    Args:
      name: name of the augmentation in :attr:`hashnet_jax.configs.Config.augmentation`.
      augmentation: a function ``(images, spec, rng) -> images``, see
        :mod:`hashnet_jax.data.augmentation`. It must be defined at the top level of a module, since
        worker processes import it by name.

    Raises:
      ValueError: if the name is taken.
    """
    if name in AUGMENTATIONS:
        raise ValueError(
            f"an augmentation named {name!r} is already registered. Choose another name."
        )
    AUGMENTATIONS[name] = augmentation


def resized_crop(
    images: UInt8[np.ndarray, "B R R 3"], spec: ModelSpec, rng: np.random.Generator
) -> UInt8[np.ndarray, "B S S 3"]:
    """Resizes a random crop of each image: 8% to 100% of the area, aspect ratio 3:4 to 4:3.

    References:
      torchvision's RandomResizedCrop, which HashNet's PyTorch code uses.
    """
    return np.stack([_resized_crop(image, spec, rng) for image in images])


def resized_crop_flip(
    images: UInt8[np.ndarray, "B R R 3"], spec: ModelSpec, rng: np.random.Generator
) -> UInt8[np.ndarray, "B S S 3"]:
    """Applies :func:`resized_crop`, then mirrors each image with probability 1/2."""
    return _flip(resized_crop(images, spec, rng), rng)


def shift(
    images: UInt8[np.ndarray, "B R R 3"], spec: ModelSpec, rng: np.random.Generator
) -> UInt8[np.ndarray, "B S S 3"]:
    """Randomly shifts the centre crop by up to 1/8 of its side length, padding with black.

    This augmentation is meant for small images, which random crops would distort too much. Unlike
    :func:`shift_flip`, it also suits images whose class depends on their orientation, such as
    digits.
    """
    size, side = spec.image_size, spec.resize
    reach = max(1, size // 8)
    padded = np.zeros((len(images), side + 2 * reach, side + 2 * reach, 3), np.uint8)
    padded[:, reach : reach + side, reach : reach + side] = images
    top, left = (side - size) // 2 + rng.integers(2 * reach + 1, size=(2, len(images)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.ascontiguousarray(np.moveaxis(windows[np.arange(len(images)), top, left], 1, -1))


def shift_flip(
    images: UInt8[np.ndarray, "B R R 3"], spec: ModelSpec, rng: np.random.Generator
) -> UInt8[np.ndarray, "B S S 3"]:
    """Applies :func:`shift`, then mirrors each image with probability 1/2."""
    return _flip(shift(images, spec, rng), rng)


def _resized_crop(
    image: UInt8[np.ndarray, "R R 3"], spec: ModelSpec, rng: np.random.Generator
) -> UInt8[np.ndarray, "S S 3"]:
    side = spec.resize
    for _ in range(10):
        area = side * side * rng.uniform(0.08, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = round(float(np.sqrt(area * ratio))), round(float(np.sqrt(area / ratio)))
        if width <= side and height <= side:
            break
    else:
        width = height = side
    left = int(rng.integers(side - width + 1))
    top = int(rng.integers(side - height + 1))
    picture = Image.fromarray(np.ascontiguousarray(image))
    size = (spec.image_size, spec.image_size)
    box = (left, top, left + width, top + height)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))


def _flip(
    images: UInt8[np.ndarray, "B S S 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "B S S 3"]:
    mirrored = rng.random(len(images)) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    return images


register("resized_crop", resized_crop)
register("resized_crop_flip", resized_crop_flip)
register("shift", shift)
register("shift_flip", shift_flip)
