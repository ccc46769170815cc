"""Tests that images are identified by content."""

import numpy as np
import pytest

from hashnet_jax.data import ArraySource, FileSource, PooledSource
from hashnet_jax.data.content import content_digest
from hashnet_jax.data.sources import decode, digest_record
from tests.support.bad_pictures import picture


class Plain:
    """A source without a method ``digest``."""

    in_memory = True

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]

    def squashed(self, index, size):
        raise NotImplementedError


def test_the_digest_of_files_changes_with_their_content_and_not_with_their_names(tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 100)):
        (tmp_path / folder).mkdir()
        for i in range(200):
            picture(seed + i).save(tmp_path / folder / f"{i}.png")
    sources = [FileSource([tmp_path / part / f"{i}.png" for i in range(200)]) for part in "abc"]
    a, b, c = (content_digest(source, np.arange(200)) for source in sources)
    assert a == b
    assert a != c
    assert content_digest(sources[0], np.arange(199)) != a
    (tmp_path / "b" / "150.png").write_bytes((tmp_path / "b" / "3.png").read_bytes())
    assert content_digest(sources[1], np.arange(200)) != a
    assert content_digest(sources[1], np.arange(150)) == content_digest(sources[0], np.arange(150))


def test_the_digest_depends_on_the_order_of_the_images():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    forwards, backwards = (ArraySource(images[::step]) for step in (1, -1))
    assert content_digest(forwards, np.arange(2)) != content_digest(backwards, np.arange(2))
    assert content_digest(forwards, np.arange(2)) == content_digest(backwards, np.array([1, 0]))


def test_a_source_without_a_digest_is_identified_by_its_pixels_even_in_a_pool():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
    plain, changed = Plain(images), Plain(images.copy())
    expected = content_digest(ArraySource(images), np.arange(5))
    assert content_digest(plain, np.arange(5)) == expected
    pool = PooledSource([Plain(images[:2]), ArraySource(images[2:])])
    assert content_digest(pool, np.arange(5)) == expected
    changed.images[4, 0, 0, 0] += 1
    assert content_digest(changed, np.arange(5)) != expected


def test_a_file_and_a_record_with_the_same_bytes_differ_since_only_the_file_is_rotated(tmp_path):
    picture(1).save(tmp_path / "a.png")
    source = FileSource([tmp_path / "a.png"])
    data = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(decode(data), source[0])
    assert source.digest(0) != digest_record(data)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cannot read the picture .*none\.png \(no such file"):
        content_digest(FileSource([tmp_path / "none.png"]), np.arange(1))
