"""Sources give what a network reads: squashed, large JPEGs decoded at reduced size."""

import io

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.data.pictures import read_picture
from hashnet_jax.data.sources import (
    ArraySource,
    FileSource,
    PooledSource,
    decode,
    decode_squashed,
    squash,
)

SIZE = 32


def jpeg(width, height, **options):
    """A smooth picture with noise, as photographs are."""
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


def test_a_jpeg_less_than_four_times_as_long_as_its_squash_is_decoded_whole():
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


def test_a_large_jpeg_is_turned_upright_at_reduced_size_as_well(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(600, 400, exif=exif))
    full = squash(read_picture(path), SIZE)
    reduced = FileSource([path]).squashed(0, SIZE)
    assert np.abs(full.astype(int) - reduced).max() <= 6


def test_a_large_jpeg_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(600, 400)[:-2000])
    with pytest.raises(OSError, match=r"cut\.jpg must be a picture that PIL can decode"):
        FileSource([path]).squashed(0, SIZE)
