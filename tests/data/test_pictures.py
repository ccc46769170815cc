"""Tests that pictures are decoded as a viewer shows them, or rejected with a reason."""

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.data.decoder import UnreadablePicture
from hashnet_jax.data.pictures import check_pictures, digest_file, find_pictures, read_picture
from hashnet_jax.data.sources import FileSource, decode, decode_squashed
from tests.support.bad_pictures import (
    bomb,
    jpeg,
    picture,
    png,
    write_bad,
    write_forbidden,
    write_good,
)


def test_unusual_pictures_are_read_as_a_viewer_shows_them(tmp_path):
    for name, middle in write_good(tmp_path).items():
        image = read_picture(tmp_path / name)
        assert image.dtype == np.uint8, name
        assert image.shape[2:] == (3,), name
        if middle is not None:
            assert tuple(image[len(image) // 2, image.shape[1] // 2]) == middle, name
    assert read_picture(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_files_that_are_not_pictures_are_rejected_with_a_reason_in_one_line(tmp_path):
    for name, reason in write_bad(tmp_path).items():
        with pytest.raises(UnreadablePicture) as error:
            read_picture(tmp_path / name)
        assert reason in str(error.value), name
        assert "\n" not in str(error.value)


def test_the_limit_on_pixels_is_the_one_at_which_pil_only_warns(tmp_path):
    (tmp_path / "large.png").write_bytes(bomb(10_000, 9_000))
    with pytest.raises(UnreadablePicture, match="more than 89,478,485 pixels"):
        read_picture(tmp_path / "large.png")


def test_a_picture_without_read_permission_is_rejected(tmp_path, monkeypatch):
    write_forbidden(tmp_path / "secret.jpg", monkeypatch)
    with pytest.raises(UnreadablePicture, match="permission denied"):
        read_picture(tmp_path / "secret.jpg")


@pytest.mark.parametrize("limit", [None, 10**9])
def test_the_limit_on_pixels_does_not_depend_on_the_limit_of_pil(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    Image.new("L", (3, 2)).save(tmp_path / "small.png")
    data = bomb(15_000, 11_800)  # 177 megapixels, at which PIL's own limit only warns
    assert len(data) < 21_000
    (tmp_path / "bomb.png").write_bytes(data)
    paths = [tmp_path / "small.png", tmp_path / "bomb.png"]
    assert read_picture(paths[0]).shape == (2, 3, 3)
    found, refused = check_pictures(paths)
    assert found is None
    assert "more than 89,478,485 pixels" in refused


def test_a_lower_limit_of_pil_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    Image.new("L", (3, 2)).save(tmp_path / "small.png")
    with pytest.raises(UnreadablePicture, match="more than 5 pixels"):
        read_picture(tmp_path / "small.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_picture(path),
        lambda path: read_picture(path, draft=8),
        lambda path: decode(path.read_bytes()),
        lambda path: decode_squashed(path.read_bytes(), 8),
        lambda path: FileSource([path])[0],
        lambda path: FileSource([path]).squashed(0, 8),
    ],
)
def test_a_decompression_bomb_is_rejected_on_every_route(tmp_path, read):
    (tmp_path / "bomb.png").write_bytes(bomb(15_000, 11_800))
    with pytest.raises(OSError, match="more than 89,478,485 pixels"):
        read(tmp_path / "bomb.png")


@pytest.mark.parametrize("form", ["PCX", "TGA", "ICO", "SGI", "EPS", "ICNS", "DDS", "MSP"])
def test_only_the_listed_formats_are_decoded_on_every_route(tmp_path, form):
    path = tmp_path / "picture.png"
    Image.new("1" if form == "MSP" else "RGB", (32, 32)).save(path, form)
    for read in (read_picture, lambda path: decode(path.read_bytes())):
        with pytest.raises(UnreadablePicture, match="not a picture in a supported format"):
            read(path)


def test_a_truncated_picture_is_rejected_on_every_route(tmp_path):
    data = jpeg(5, (64, 64))
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadablePicture, match="truncated"):
        read_picture(tmp_path / "cut.jpg")
    with pytest.raises(UnreadablePicture, match="truncated"):
        decode(data[: len(data) // 2])


def test_a_transparent_level_of_a_grey_16_bit_png_becomes_white(tmp_path):
    levels = np.array([[0x0100, 0x0101, 0x8000]], ">u2")
    (tmp_path / "grey.png").write_bytes(png(levels.tobytes(), 3, depth=16, transparent=[0x0100]))
    assert read_picture(tmp_path / "grey.png")[0, :, 0].tolist() == [255, 1, 128]
    (tmp_path / "opaque.png").write_bytes(png(levels.tobytes(), 3, depth=16))
    assert read_picture(tmp_path / "opaque.png")[0, :, 0].tolist() == [1, 1, 128]


def test_a_transparent_colour_of_an_rgb_16_bit_png_is_compared_with_all_16_bits(tmp_path):
    pixels = np.array([[9, 9, 9], [9, 9, 10], [0x0109, 9, 9], [0x8000, 0, 0]], ">u2")
    data = png(pixels.tobytes(), 4, depth=16, colour=2, transparent=[9, 9, 9])
    (tmp_path / "rgb.png").write_bytes(data)
    expected = [[255, 255, 255], [0, 0, 0], [1, 0, 0], [128, 0, 0]]
    assert read_picture(tmp_path / "rgb.png")[0].tolist() == expected
    assert decode(data)[0].tolist() == expected


@pytest.mark.parametrize(
    ("depth", "row", "expected"),
    [
        (1, 0b01000000, [0, 255, 0, 0]),
        (2, 0b00011011, [0, 255, 170, 255]),
        (4, 0x012F, [0, 255, 34, 255]),
        (8, 0x000102FF, [0, 255, 2, 255]),
    ],
)
def test_a_transparent_level_of_a_grey_png_of_few_bits_becomes_white(
    tmp_path, depth, row, expected
):
    data = row.to_bytes(-(-4 * depth // 8), "big")
    (tmp_path / "grey.png").write_bytes(png(data, 4, depth=depth, transparent=[1]))
    assert read_picture(tmp_path / "grey.png")[0, :, 0].tolist() == expected


def test_a_picture_of_any_kind_is_turned_upright_with_its_transparent_colour(tmp_path):
    pixels = np.array([[9, 9, 9], [0x8000, 0, 0]], ">u2")
    exif = Image.Exif()
    exif[0x0112] = 3  # rotated by 180 degrees
    data = png(pixels.tobytes(), 2, depth=16, colour=2, transparent=[9, 9, 9], exif=exif.tobytes())
    (tmp_path / "turned.png").write_bytes(data)
    assert read_picture(tmp_path / "turned.png")[0].tolist() == [[128, 0, 0], [255, 255, 255]]


def test_every_file_that_is_passed_over_is_reported_with_a_reason(tmp_path):
    for name in ("a.png", "b.HEIC", "notes.txt", "noext", ".hidden.png", ".git/c.png", "d/e.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    skipped = []
    found = list(find_pictures(tmp_path, lambda path, reason: skipped.append((path, reason))))
    assert found == [str(tmp_path / "a.png"), str(tmp_path / "d" / "e.JPG")]
    assert dict(skipped) == {
        str(tmp_path / "b.HEIC"): "HEIC is not supported; convert it to JPEG or PNG",
        str(tmp_path / "notes.txt"): "not the suffix of a picture: .txt",
        str(tmp_path / "noext"): "no suffix",
        str(tmp_path / ".hidden.png"): "hidden file",
        str(tmp_path / ".git"): "hidden folder",
    }


def test_the_digest_of_a_file_changes_with_its_content_and_damage_has_a_reason(tmp_path):
    picture(1).save(tmp_path / "a.png")
    picture(2).save(tmp_path / "b.png")
    assert digest_file(tmp_path / "a.png") != digest_file(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert digest_file(tmp_path / "a.png") == digest_file(tmp_path / "b.png")
    for name, reason in {"none.png": "no such file", "a\0.png": "damaged"}.items():
        with pytest.raises(UnreadablePicture, match=reason):
            digest_file(tmp_path / name)
