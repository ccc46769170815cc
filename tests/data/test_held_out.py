"""Tests for the images on which settings are chosen."""

import numpy as np
import pytest

from hashnet_jax.data import Split
from hashnet_jax.data.held_out import held_out

LABELS = np.repeat(np.arange(3), 20)
TRAIN = np.concatenate([np.arange(first + 4, first + 16) for first in (0, 20, 40)])
SPLIT = Split(train=TRAIN, query=[0, 20, 40], database=[1, 21, 41])


def test_a_quarter_of_each_class_searches_the_other_training_images():
    train, query, database = held_out(LABELS, SPLIT)
    assert np.array_equal(train, database)
    assert np.bincount(LABELS[query]).tolist() == [3, 3, 3]
    assert np.array_equal(np.sort(np.concatenate([train, query])), TRAIN)


def test_validation_images_search_all_training_images():
    split = Split(train=TRAIN, query=[0], database=[1], validation=[2, 22])
    train, query, database = held_out(LABELS, split)
    assert np.array_equal(train, database)
    assert (train.tolist(), query.tolist()) == (TRAIN.tolist(), [2, 22])


def test_a_quarter_of_all_images_with_several_labels_is_held_out():
    train, query, _ = held_out(np.eye(3, dtype=int)[LABELS], SPLIT)
    assert len(query) == 9
    assert np.array_equal(np.sort(np.concatenate([train, query])), TRAIN)


def test_too_few_images_to_hold_any_out_are_refused():
    split = Split(train=[4, 5, 24], query=[0], database=[1])
    with pytest.raises(ValueError, match=r"at least 4 training images .*validation_per_class"):
        held_out(LABELS, split)


def unseen_split(*, classes, unseen, images=8):
    """Images of each class; the last classes have no training images."""
    labels = np.repeat(np.arange(classes), images)
    seen = np.flatnonzero(labels < classes - unseen)
    others = np.flatnonzero(labels >= classes - unseen)
    return labels, Split(train=seen, query=others[::images], database=others[1::images])


@pytest.mark.parametrize(("classes", "unseen", "number"), [(10, 3, 2), (20, 10, 5), (6, 2, 2)])
def test_classes_are_held_out_if_the_database_has_only_unseen_ones(classes, unseen, number):
    labels, split = unseen_split(classes=classes, unseen=unseen)
    parts = held_out(labels, split)
    held = np.unique(labels[parts.query])
    assert len(held) == number
    assert np.array_equal(np.unique(labels[parts.database]), held)
    assert not np.isin(labels[parts.train], held).any()
    together = np.sort(np.concatenate(parts))
    assert np.array_equal(together, split.train)
    assert np.bincount(labels[parts.query])[held].tolist() == [2] * number


def test_each_seed_holds_out_other_classes():
    labels, split = unseen_split(classes=20, unseen=10)
    first, again, other = (set(labels[held_out(labels, split, seed=s).query]) for s in (0, 0, 1))
    assert first == again != other


def test_too_few_classes_to_hold_any_out_are_refused():
    labels, split = unseen_split(classes=5, unseen=2)
    with pytest.raises(ValueError, match=r"at least 4 classes .*, got 3\. Lower `unseen"):
        held_out(labels, split)
