"""Training augmentation of a batch, on the host, in uint8.

An augmentation is ``(images, spec, rng) -> images``: squashed images uint8 ``[B, R, R, 3]``, R =
``spec.resize``, to uint8 ``[B, S, S, 3]``, S = ``spec.image_size``. ``rng`` is a
``numpy.random.Generator``, which draws for each image anew.
"""

import numpy as np
from PIL import Image


def resized_crop(images, spec, rng):
    """A random part of each image, 8 to 100 % of its area at 3:4 to 4:3, resized.

    References:
      What HashNet's PyTorch code does with torchvision's RandomResizedCrop.
    """
    return np.stack([_resized_crop(image, spec, rng) for image in images])


def resized_crop_flip(images, spec, rng):
    """:func:`resized_crop`, each image mirrored half of the time."""
    return _flip(resized_crop(images, spec, rng), rng)


def shift(images, spec, rng):
    """Moves the centre crop by up to an eighth of its side, what is outside filled with black.

    For small images, which a random crop would tear apart, and whose meaning a mirror may change
    (digits).
    """
    size, side = spec.image_size, spec.resize
    reach = max(1, size // 8)
    padded = np.zeros((len(images), side + 2 * reach, side + 2 * reach, 3), np.uint8)
    padded[:, reach : reach + side, reach : reach + side] = images
    top, left = (side - size) // 2 + rng.integers(2 * reach + 1, size=(2, len(images)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.ascontiguousarray(np.moveaxis(windows[np.arange(len(images)), top, left], 1, -1))


def shift_flip(images, spec, rng):
    """:func:`shift`, each image mirrored half of the time."""
    return _flip(shift(images, spec, rng), rng)


AUGMENTATIONS = {
    "resized_crop": resized_crop,
    "resized_crop_flip": resized_crop_flip,
    "shift": shift,
    "shift_flip": shift_flip,
}


def _resized_crop(image, spec, rng):
    side = spec.resize
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


def _flip(images, rng):
    mirrored = rng.random(len(images)) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    return images
