"""Thumbnails are kept until their picture changes, in a cache of limited size."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.index.service import _pictures
from hashnet_jax.index.service._limits import Refused
from hashnet_jax.index.service._pictures import Thumbnails
from tests.support.bad_pictures import bomb, picture


@pytest.fixture
def reads(monkeypatch):
    """The paths of the pictures that have been read."""
    paths, read = [], _pictures.read_picture

    def recorded(path, **options):
        paths.append(path)
        return read(path, **options)

    monkeypatch.setattr(_pictures, "read_picture", recorded)
    return paths


def save(path, size=(400, 200)):
    picture(0, size).save(path)
    return str(path)


def size_of(content):
    with Image.open(io.BytesIO(content)) as image:
        return image.format, image.size


def test_a_large_picture_is_reduced_and_a_tiny_one_enlarged(tmp_path):
    thumbnails = Thumbnails()
    for size, expected in (((400, 200), (320, 160)), ((100, 50), (100, 50)), ((8, 4), (320, 160))):
        _, content = thumbnails.jpeg(save(tmp_path / f"{size}.png", size), None)
        assert size_of(content) == ("JPEG", expected)


def test_a_picture_is_read_once_until_it_changes(tmp_path, reads):
    thumbnails, path = Thumbnails(), save(tmp_path / "a.png")
    tag, content = thumbnails.jpeg(path, None)
    assert thumbnails.jpeg(path, None) == (tag, content)
    assert thumbnails.jpeg(path, tag) == (tag, None)
    assert reads == [path]
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(path)
    os.utime(path, ns=(1, 1))
    changed, other = thumbnails.jpeg(path, tag)
    assert changed != tag
    assert other not in (None, content)
    assert reads == [path, path]


def test_the_cache_keeps_what_was_used_last(tmp_path, reads, monkeypatch):
    a, b, c = (save(tmp_path / f"{name}.png") for name in "abc")
    thumbnails = Thumbnails()
    _, content = thumbnails.jpeg(a, None)
    monkeypatch.setattr(_pictures, "_THUMBNAIL_CACHE_BYTES", 2 * len(content))
    for path in (b, a, c, a, b):
        thumbnails.jpeg(path, None)
    assert reads == [a, b, c, b]


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("This is not a picture.")
    (tmp_path / "bomb.png").write_bytes(bomb())
    for name, status in (("none.png", 404), ("a\0.png", 404), ("text.png", 422), ("bomb.png", 422)):
        with pytest.raises(Refused) as refusal:
            Thumbnails().jpeg(str(tmp_path / name), None)
        assert refusal.value.status == status
