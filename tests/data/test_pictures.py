"""Users' own pictures: decoded as a viewer shows them, or refused with a reason."""

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.data.pictures import UnreadablePicture, printable, read_picture
from tests.support.bad_pictures import bomb, write_bad, write_forbidden, write_good


def test_unusual_pictures_are_read_as_a_viewer_shows_them(tmp_path):
    for name, middle in write_good(tmp_path).items():
        image = read_picture(tmp_path / name)
        assert image.dtype == np.uint8, name
        assert image.shape[2:] == (3,), name
        if middle is not None:
            assert tuple(image[len(image) // 2, image.shape[1] // 2]) == middle, name
    assert read_picture(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_files_that_are_not_pictures_are_refused_with_a_reason_in_one_line(tmp_path):
    for name, reason in write_bad(tmp_path).items():
        with pytest.raises(UnreadablePicture) as error:
            read_picture(tmp_path / name)
        assert reason in str(error.value), name
        assert "\n" not in str(error.value)


def test_the_limit_on_pixels_is_the_one_at_which_pil_only_warns(tmp_path):
    (tmp_path / "large.png").write_bytes(bomb(10_000, 9_000))
    with pytest.raises(UnreadablePicture, match="more than 89,478,485 pixels"):
        read_picture(tmp_path / "large.png")


def test_a_picture_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    write_forbidden(tmp_path / "secret.jpg", monkeypatch)
    with pytest.raises(UnreadablePicture, match="permission denied"):
        read_picture(tmp_path / "secret.jpg")


def test_without_a_limit_on_pixels_a_picture_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.new("L", (3, 2)).save(tmp_path / "small.png")
    assert read_picture(tmp_path / "small.png").shape == (2, 3, 3)


def test_a_path_is_printed_in_one_line_with_other_bytes_replaced():
    assert printable("a\nb\udcff.jpg") == "a\ufffdb\ufffd.jpg"
