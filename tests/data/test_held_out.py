"""Tests for the images on which settings are chosen."""

import numpy as np
import pytest

from hashnet_jax.data import Split
from hashnet_jax.data.held_out import held_out

LABELS = np.repeat(np.arange(3), 20)
TRAIN = np.concatenate([np.arange(first + 4, first + 16) for first in (0, 20, 40)])
SPLIT = Split(train=TRAIN, query=[0, 20, 40], database=[1, 21, 41])


def test_a_quarter_of_each_class_searches_the_other_training_images():
    train, query = held_out(LABELS, SPLIT)
    assert np.bincount(LABELS[query]).tolist() == [3, 3, 3]
    assert np.array_equal(np.sort(np.concatenate([train, query])), TRAIN)


def test_validation_images_search_all_training_images():
    split = Split(train=TRAIN, query=[0], database=[1], validation=[2, 22])
    train, query = held_out(LABELS, split)
    assert (train.tolist(), query.tolist()) == (TRAIN.tolist(), [2, 22])


def test_a_quarter_of_all_images_with_several_labels_is_held_out():
    train, query = held_out(np.eye(3, dtype=int)[LABELS], SPLIT)
    assert len(query) == 9
    assert np.array_equal(np.sort(np.concatenate([train, query])), TRAIN)


def test_too_few_images_to_hold_any_out_are_refused():
    split = Split(train=[4, 5, 24], query=[0], database=[1])
    with pytest.raises(ValueError, match=r"at least 4 training images .*validation_per_class"):
        held_out(LABELS, split)
