"""Tests counting images and pictures that are in more than one part of a split."""

import numpy as np
import pytest

from hashnet_jax.data import Dataset, Split, overlap
from hashnet_jax.data.sources import ArraySource, PooledSource, squash


class OnDisk:
    """A source that records which images are read."""

    in_memory = False

    def __init__(self, images):
        self.images, self.reads = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads.append(int(index))
        return self.images[index]

    def squashed(self, index, size):
        return squash(self[index], size)


def _dataset(source, **parts):
    return Dataset("some", source, np.zeros(len(source), np.int64), ("one",), Split(**parts))


def _by_loops(dataset, a, b):
    part, other = getattr(dataset.split, a), getattr(dataset.split, b)
    images = [np.asarray(dataset.source[i]) for i in range(len(dataset.source))]
    return {
        "same_image": sum(i in other for i in part),
        "same_picture": sum(
            any(i != j and np.array_equal(images[i], images[j]) for j in other) for i in part
        ),
    }


def test_counts_equal_loops_over_pairs_of_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4, (60, 1, 2, 3), np.uint8) // 2
    dataset = _dataset(
        ArraySource(images),
        query=np.arange(20),
        train=np.arange(20, 40),
        database=np.arange(30, 60),
    )
    found = overlap.overlaps(dataset)
    assert set(found) == {"query/train", "query/database", "train/database"}
    for pair, counts in found.items():
        assert counts == _by_loops(dataset, *pair.split("/"))
    assert found["query/database"]["same_picture"] > 0
    assert found["train/database"]["same_image"] == 10


def test_an_image_in_both_train_and_database_is_not_its_own_copy():
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    dataset = _dataset(ArraySource(images), query=[0], train=[1, 2], database=[1, 2, 3])
    expected = {"same_image": 2, "same_picture": 0}
    assert overlap.overlaps(dataset)["train/database"] == expected


def test_pictures_of_equal_bytes_but_different_shapes_differ():
    flat, tall = np.zeros((1, 4, 3), np.uint8), np.zeros((4, 1, 3), np.uint8)
    dataset = _dataset(OnDisk([flat, tall, tall]), query=[0], train=[1], database=[2])
    found = overlap.overlaps(dataset)
    assert found["query/database"]["same_picture"] == 0
    assert found["train/database"]["same_picture"] == 1


def test_only_images_of_the_split_are_read_each_once():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(3, axis=3)
    source = OnDisk(images)
    dataset = _dataset(source, query=[1], train=[2, 3], database=[2, 3, 4], validation=[6])
    assert overlap.n_compared(dataset) == 4
    overlap.overlaps(dataset)
    assert sorted(source.reads) == [1, 2, 3, 4]


def test_without_content_only_indices_are_compared():
    source = OnDisk(np.zeros((3, 1, 1, 3), np.uint8))
    dataset = _dataset(source, query=[0], train=[1], database=[1, 2])
    found = overlap.overlaps(dataset, by_content=False)
    assert source.reads == []
    assert found["train/database"] == {"same_image": 1, "same_picture": None}
    assert not overlap.has_content(found)
    assert "copies under other names were not checked" in overlap.describe(found)


@pytest.mark.parametrize(("in_memory", "limit"), [(True, 1), (False, 10), (False, 1)])
def test_comparing_pictures_is_cheap_in_memory_or_if_they_are_few(monkeypatch, in_memory, limit):
    monkeypatch.setattr(overlap, "MAX_CHEAP_IMAGES", limit)
    images = np.zeros((4, 1, 1, 3), np.uint8)
    source = PooledSource(
        [ArraySource(images), ArraySource(images) if in_memory else OnDisk(images)]
    )
    dataset = _dataset(source, query=[0], train=[1], database=[2, 3])
    assert overlap.is_cheap(dataset) == (in_memory or limit == 10)


def test_an_allowed_overlap_is_counted_by_index():
    split = {"query": [0, 1], "train": [2], "database": [1, 2], "allow_overlap": True}
    source = ArraySource(np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1))
    found = overlap.overlaps(_dataset(source, **split))
    assert found["query/database"] == {"same_image": 1, "same_picture": 0}
    assert overlap.describe(found).startswith("queries in the database: 1;")
