"""Tests the shapes and dtypes of augmented images, and the distribution of flips and shifts."""

import numpy as np
import pytest

from hashnet_jax import ModelSpec
from hashnet_jax.data.augmentation import AUGMENTATIONS, register
from hashnet_jax.data.sources import squash

SPEC = ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (30, 17), (1, 1)])
def test_augmented_images_are_uint8_and_have_the_image_size_of_the_backbone(name, height, width):
    rng = np.random.default_rng(0)
    spec = ModelSpec("small_cnn", image_size=8, resize=10)
    image = squash(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), 10)
    augmented = AUGMENTATIONS[name](np.stack([image] * 8), spec, rng)
    assert augmented.shape == (8, 8, 8, 3)
    assert augmented.dtype == np.uint8
    assert height == 1 or len({a.tobytes() for a in augmented}) > 1


def test_a_flip_mirrors_about_half_of_the_images_left_to_right():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :2] = 255
    rng = np.random.default_rng(0)
    flipped = AUGMENTATIONS["resized_crop_flip"](np.stack([image] * 200), SPEC, rng)[:, 4]
    left_is_bright = sum(int(row[:4].sum()) > int(row[4:].sum()) for row in flipped)
    right_is_bright = sum(int(row[4:].sum()) > int(row[:4].sum()) for row in flipped)
    assert 50 < left_is_bright < 150
    assert 50 < right_is_bright < 150


def test_a_shift_draws_an_offset_per_image_up_to_an_eighth_and_fills_with_black():
    images = np.arange(1, 1 + 200 * 100, dtype=np.int64).reshape(200, 10, 10, 1) % 255 + 1
    images = np.repeat(images.astype(np.uint8), 3, axis=-1)
    spec = ModelSpec("small_cnn", image_size=8, resize=10)
    shifted = AUGMENTATIONS["shift"](images, spec, np.random.default_rng(0))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moves = set()
    for image, whole in zip(shifted, padded, strict=True):
        corners = [
            (top, left)
            for top in range(1, 4)
            for left in range(1, 4)
            if (whole[top : top + 8, left : left + 8] == image).all()
        ]
        assert len(corners) == 1
        moves.update(corners)
    assert len(moves) == 9


def test_a_registered_name_cannot_be_reused():
    with pytest.raises(ValueError, match="'shift' is already registered"):
        register("shift", AUGMENTATIONS["shift_flip"])
