"""Tests for groups of duplicates: which pictures they contain, and which of these are copies."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from hashnet_jax.index import COPY_BITS, Snapshot, find_duplicates
from tests.support.stores import manifest

pytest.importorskip("imagehash")


def landscape(seed, size=(120, 90)):
    few = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(few).resize(size, Image.Resampling.BICUBIC)


def snapshot(codes, labels=None):
    """A snapshot of {path: code of 12 bits as an integer}."""
    ids = sorted(codes, key=str)
    packed = np.array([[codes[i] >> 4, codes[i] << 4 & 0xF0] for i in ids], np.uint8)
    names = [None] * len(ids) if labels is None else labels
    ids, names = pa.array(map(str, ids), pa.utf8()), pa.array(names, pa.utf8())
    return Snapshot(manifest(), 1, ids, packed.reshape(-1, 2), names)


@pytest.fixture
def pictures(tmp_path):
    """Two originals with copies, a picture of something else, and a file that is missing."""
    landscape(0).save(tmp_path / "a.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "a copy.png")
    landscape(0, (60, 45)).save(tmp_path / "a small.jpg")
    landscape(1).save(tmp_path / "b.png")
    landscape(1, (240, 180)).save(tmp_path / "b large.png")
    landscape(2).save(tmp_path / "c.png")
    return tmp_path


def names(group):
    return [one.id.rsplit("/", 1)[1] for one in group]


def test_near_copies_are_told_from_pictures_with_close_codes(pictures):
    codes = {
        "a.png": 0, "a copy.png": 0, "a small.jpg": 1, "b.png": 1, "b large.png": 3, "c.png": 3,
        "gone.png": 2,
    }  # fmt: skip
    whole = snapshot({pictures / name: code for name, code in codes.items()})
    (group,) = find_duplicates(whole, 1)
    assert names(group) == [
        "a copy.png", "a small.jpg", "a.png", "b large.png", "b.png", "c.png", "gone.png"
    ]  # fmt: skip
    assert [one.copies for one in group] == [1, 1, 1, 2, 2, None, None]
    assert [one.same_file for one in group] == [True, False, True, *[False] * 4]
    assert [one.distance for one in group] == [0, 1, 0, 2, 1, 2, 1]
    assert [one.pixels is None for one in group] == [False] * 5 + [True] * 2
    assert all(one.pixels <= COPY_BITS for one in group[:5])
    assert [one.unreadable for one in group] == [None] * 6 + ["no such file or directory"]


def test_groups_with_most_copies_come_first_and_single_pictures_are_left_out(pictures):
    codes = {
        "c.png": 0xF00, "gone.png": 0xF00, "a.png": 0, "a copy.png": 0, "b.png": 0x0FF,
        "b large.png": 0x0FF, "a small.jpg": 0,
    }  # fmt: skip
    alone = {pictures / "alone.png": 0xF0F}
    whole = snapshot(alone | {pictures / name: code for name, code in codes.items()})
    groups = find_duplicates(whole, 0)
    assert [names(group) for group in groups] == [
        ["a copy.png", "a small.jpg", "a.png"],
        ["b large.png", "b.png"],
        ["c.png", "gone.png"],
    ]
    assert [one.copies for one in groups[2]] == [None, None]


def test_a_group_whose_files_are_all_missing_is_still_a_group(tmp_path):
    whole = snapshot({tmp_path / "x": 5, tmp_path / "y": 5}, labels=["cat", None])
    (group,) = find_duplicates(whole, 0)
    assert [one.unreadable for one in group] == ["no such file or directory"] * 2
    assert [one.label for one in group] == ["cat", None]


def test_a_store_without_duplicates_or_pictures_has_no_groups(tmp_path):
    assert find_duplicates(snapshot({}), 3) == []
    assert find_duplicates(snapshot({tmp_path / "x": 0, tmp_path / "y": 7}), 2) == []


def test_a_negative_radius_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`radius` must be >= 0, got -1"):
        find_duplicates(snapshot({}), -1)
