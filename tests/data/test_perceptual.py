"""Tests for perceptual hashes."""

import hashlib
import sys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hashnet_jax.data.decoder import UnreadablePicture
from hashnet_jax.data.perceptual import look_at, perceptual_hash
from hashnet_jax.data.pictures import read_picture

imagehash = pytest.importorskip("imagehash")


def landscape(seed):
    """A smooth random picture, 320 x 240."""
    few = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(few).resize((320, 240), Image.Resampling.BICUBIC)


def difference(first, second):
    return int(np.bitwise_count(first ^ second).sum())


def test_the_hash_is_that_of_imagehash_and_the_file_is_hashed_too(tmp_path):
    path = tmp_path / "a.png"
    landscape(0).save(path)
    look = look_at(path)
    assert look.sha256 == hashlib.sha256(path.read_bytes()).digest()
    expected = imagehash.phash(landscape(0)).hash.ravel()
    np.testing.assert_array_equal(np.unpackbits(look.phash), expected)
    np.testing.assert_array_equal(look.phash, perceptual_hash(read_picture(path)))


def test_copies_have_close_hashes_and_other_pictures_distant_ones(tmp_path):
    original = landscape(1)
    copies = {
        "same.png": original,
        "compressed.jpg": original,
        "half.png": original.resize((160, 120)),
        "brighter.png": ImageEnhance.Brightness(original).enhance(1.1),
        "grey.png": original.convert("L"),
    }
    hashes = {}
    for name, copy in copies.items():
        copy.save(tmp_path / name)
        hashes[name] = look_at(tmp_path / name).phash
    assert all(difference(hashes["same.png"], one) <= 8 for one in hashes.values())
    others = [perceptual_hash(np.asarray(landscape(seed))) for seed in range(2, 12)]
    assert all(difference(hashes["same.png"], other) > 12 for other in others)


def test_a_large_jpeg_is_decoded_at_a_reduced_size_with_a_close_hash(tmp_path):
    landscape(3).resize((3200, 2400)).save(tmp_path / "large.jpg", quality=95)
    exact = perceptual_hash(read_picture(tmp_path / "large.jpg"))
    assert difference(look_at(tmp_path / "large.jpg").phash, exact) <= 2


def test_a_file_that_is_no_picture_is_refused_with_the_reason(tmp_path):
    with pytest.raises(UnreadablePicture, match="no such file"):
        look_at(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UnreadablePicture, match="not a picture in a supported format"):
        look_at(tmp_path / "text.jpg")


def test_without_imagehash_the_error_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(ModuleNotFoundError, match=r"Install it with pip install 'hashnet_jax\[sea"):
        perceptual_hash(np.zeros((8, 8, 3), np.uint8))
