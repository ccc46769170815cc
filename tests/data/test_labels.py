"""Tests that a data set refuses labels that would make every pair of images similar."""

import numpy as np
import pytest

from hashnet_jax.data import ArraySource, Dataset, Split

IDS = np.array([0, 1, 2, 1])
SIGNS = 2 * np.eye(3, dtype=int)[IDS] - 1


def dataset(labels: np.ndarray) -> Dataset:
    parts = {part: np.arange(4) for part in ("query", "database", "train")}
    source = ArraySource(np.zeros((4, 8, 8, 3), np.uint8))
    return Dataset("four", source, labels, ("a", "b", "c"), Split(**parts, allow_overlap=True))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (IDS[:, None], r"got a column \(4, 1\)\. Use labels\.ravel\(\)"),
        (SIGNS, r"but `labels`\[0, 1\] is -1\. If -1 means .not of this class., use labels > 0"),
        (SIGNS / 2 + 1, r"but `labels`\[0, 0\] is 1\.5"),
        (np.eye(4, dtype=int), r"must name each of the 4 classes .*, got 3 names"),
        (IDS + 1, r"must name each of the 4 classes .*, got 3 names"),
        (IDS - 1, r"must be indices into `classes`, starting from 0, .* labels\[0\] = -1"),
        (IDS[:3], r"`labels` must have one entry for each of the 4 images .*, got 3"),
    ],
)
def test_labels_with_wrong_values_are_rejected_before_training(labels, message):
    with pytest.raises(ValueError, match=message):
        dataset(labels)


@pytest.mark.parametrize("labels", [IDS, np.uint8(IDS), np.eye(3, dtype=np.int8)[IDS]])
def test_class_ids_and_multi_hot_labels_are_accepted(labels):
    assert dataset(labels).labels is labels


@pytest.mark.bad_input
def test_multi_hot_labels_may_be_bool():
    assert dataset(SIGNS > 0).labels.dtype == bool


def test_only_images_in_the_split_need_a_class():
    images = ArraySource(np.zeros((4, 8, 8, 3), np.uint8))
    split = Split(train=[0], query=[1], database=[2])
    assert (
        len(Dataset("three", images, np.array([0, 1, 2, -1]), ("a", "b", "c"), split).labels) == 4
    )


def test_a_split_with_an_index_out_of_range_is_rejected():
    images = ArraySource(np.zeros((4, 8, 8, 3), np.uint8))
    for wrong in (4, -1):
        split = Split(train=[0], query=[1], database=[wrong])
        with pytest.raises(ValueError, match="`split` must contain indices of the 4 images"):
            Dataset("four", images, IDS, ("a", "b", "c"), split)


def test_a_data_set_without_a_name_for_each_image_is_rejected():
    images = ArraySource(np.zeros((4, 8, 8, 3), np.uint8))
    split = Split(train=[0], query=[1], database=[2])
    with pytest.raises(ValueError, match=r"`names` .* 4 images .*, got 1"):
        Dataset("four", images, IDS, ("a", "b", "c"), split, names=("a",))
