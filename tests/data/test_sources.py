"""Tests image sources, which return images by index or squashed to a square."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.data.pictures import read_picture
from hashnet_jax.data.sources import (
    ArraySource,
    FileSource,
    ImageSource,
    PooledSource,
    decode,
    decode_squashed,
    squash,
)
from tests.support.bad_pictures import picture

SIZE = 32


def jpeg(width, height, **options):
    """Returns a smooth picture with noise, similar to a photograph."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noisy = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_large_jpeg_is_squashed_from_reduced_size_within_a_few_levels(options):
    data = jpeg(600, 400, **options)
    full, reduced = squash(decode(data), SIZE), decode_squashed(data, SIZE)
    assert reduced.shape == (SIZE, SIZE, 3)
    difference = np.abs(full.astype(int) - reduced)
    assert 0 < difference.mean() < 1
    assert difference.max() <= 6


def test_a_jpeg_less_than_four_times_as_long_as_the_square_is_decoded_at_full_size():
    data = jpeg(600, 4 * SIZE - 1)
    np.testing.assert_array_equal(decode_squashed(data, SIZE), squash(decode(data), SIZE))


def test_files_records_and_pools_give_the_same_squashed_image(tmp_path):
    data = jpeg(600, 400)
    (tmp_path / "large.jpg").write_bytes(data)
    files = FileSource([tmp_path / "large.jpg"])
    arrays = ArraySource(np.zeros((2, 5, 5, 1), np.uint8))
    expected = decode_squashed(data, SIZE)
    np.testing.assert_array_equal(files.squashed(0, SIZE), expected)
    np.testing.assert_array_equal(PooledSource([arrays, files]).squashed(2, SIZE), expected)
    assert PooledSource([arrays, files]).squashed(1, SIZE).shape == (SIZE, SIZE, 3)
    assert files[0].shape == (400, 600, 3), "the image itself is whole"


def test_a_large_jpeg_is_also_turned_upright_at_reduced_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(600, 400, exif=exif))
    full = squash(read_picture(path), SIZE)
    reduced = FileSource([path]).squashed(0, SIZE)
    assert np.abs(full.astype(int) - reduced).max() <= 6


def test_a_truncated_large_jpeg_is_named(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(600, 400)[:-2000])
    with pytest.raises(OSError, match=r"cannot read the picture .*cut\.jpg"):
        FileSource([path]).squashed(0, SIZE)


def test_grey_pictures_are_read_as_three_equal_channels():
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(buffer, "PNG")
    image = decode(buffer.getvalue())
    assert image.shape == (3, 4, 3)
    assert (image[..., 0] == image[..., 2]).all()
    assert squash(image, 5).shape == (5, 5, 3)


def test_a_pool_reads_from_all_its_sources():
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (n, 2, 2, 3)).astype(np.uint8) for n in (3, 1, 4)]
    pool = PooledSource([ArraySource(part) for part in parts])
    whole = np.concatenate(parts)
    assert len(pool) == 8
    for i in range(8):
        np.testing.assert_array_equal(pool[i], whole[i])


def test_pictures_are_turned_upright_by_their_exif_orientation(tmp_path):
    stored = np.zeros((8, 16, 3), np.uint8)
    stored[:, :8] = 255  # the left half, which orientation 6 turns to the top
    stored_picture = Image.fromarray(stored)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored_picture.save(tmp_path / "turned.png", exif=exif)
    shown = FileSource([tmp_path / "turned.png"])[0]
    assert shown.shape == (16, 8, 3)
    assert shown[:8].min() == 255
    assert shown[8:].max() == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_pictures_of_any_mode_become_rgb(tmp_path, mode):
    path = tmp_path / "picture.tiff"
    Image.new(mode, (3, 2)).save(path)
    source = pickle.loads(pickle.dumps(FileSource([path])))
    assert source[0].shape == (2, 3, 3)
    assert source[0].dtype == np.uint8


def test_a_file_that_is_not_a_picture_is_named_on_access(tmp_path):
    (tmp_path / "no.jpg").write_text("no picture")
    with pytest.raises(OSError, match=r"cannot read the picture .*no\.jpg"):
        FileSource([tmp_path / "no.jpg"])[0]


def test_a_file_source_reads_the_pixels_of_its_files(tmp_path):
    picture(7).save(tmp_path / "a.png")
    np.testing.assert_array_equal(FileSource([tmp_path / "a.png"])[0], np.asarray(picture(7)))


def test_every_source_meets_the_protocol(tmp_path):
    arrays = ArraySource(np.zeros((1, 2, 2, 1), np.uint8))
    files = FileSource([tmp_path / "a.png"])
    assert isinstance(arrays, ImageSource)
    assert isinstance(files, ImageSource)
    assert isinstance(PooledSource([arrays, files]), ImageSource)
    assert not isinstance(np.zeros(3), ImageSource)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((1, 2, 2, 3)), TypeError, "must be uint8, got float64"),
        (np.zeros((2, 2, 3), np.uint8), ValueError, r"must be \[N, H, W, 3\] .*got \(2, 2, 3\)"),
    ],
)
def test_arrays_of_the_wrong_type_or_shape_are_rejected(images, error, message):
    with pytest.raises(error, match=message):
        ArraySource(images)
