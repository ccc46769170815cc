"""Training augmentation of one image, on the host, in uint8.

An augmentation is ``(image, spec, rng) -> image``: uint8 ``[H, W, 3]`` to uint8 ``[S, S, 3]``, S =
``spec.image_size``, with a ``numpy.random.Generator``.
"""

import numpy as np
from PIL import Image

from hashnet_jax.data.sources import squash


def resized_crop(image, spec, rng):
    """A random part of the squashed image, 8 to 100 % of its area at 3:4 to 4:3, resized.

    References:
      What HashNet's PyTorch code does with torchvision's RandomResizedCrop.
    """
    side = spec.resize
    image = squash(image, side)
    for _ in range(10):
        area = side * side * rng.uniform(0.08, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if width <= side and height <= side:
            break
    else:
        width = height = side
    left = rng.integers(side - width + 1)
    top = rng.integers(side - height + 1)
    picture = Image.fromarray(np.ascontiguousarray(image))
    size = (spec.image_size, spec.image_size)
    box = (left, top, left + width, top + height)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))


def resized_crop_flip(image, spec, rng):
    """:func:`resized_crop`, mirrored half of the time."""
    return _flip(resized_crop(image, spec, rng), rng)


def shift(image, spec, rng):
    """Moves the centre crop by up to an eighth of its side, what is outside filled with black.

    For small images, which a random crop would tear apart, and whose meaning a mirror may change
    (digits).
    """
    size, side = spec.image_size, spec.resize
    reach = max(1, size // 8)
    padded = np.zeros((side + 2 * reach, side + 2 * reach, 3), np.uint8)
    padded[reach : reach + side, reach : reach + side] = squash(image, side)
    top, left = (side - size) // 2 + rng.integers(2 * reach + 1, size=2)
    return padded[top : top + size, left : left + size]


def shift_flip(image, spec, rng):
    """:func:`shift`, mirrored half of the time."""
    return _flip(shift(image, spec, rng), rng)


AUGMENTATIONS = {
    "resized_crop": resized_crop,
    "resized_crop_flip": resized_crop_flip,
    "shift": shift,
    "shift_flip": shift_flip,
}


def _flip(image, rng):
    return image[:, ::-1] if rng.random() < 0.5 else image
