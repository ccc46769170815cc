"""Tests splits drawn class by class or regardless of class."""

import numpy as np
import pytest

from hashnet_jax.data import DATASETS, Options, Split, per_class_split, random_split

ONE_OF_TEN = np.repeat(np.arange(10), 60)


def test_the_cifar_protocol_has_training_images_in_the_database_or_not():
    draw = {"queries": 10, "train": 20}
    with_train = per_class_split(ONE_OF_TEN, **draw, train_in_database=True)
    without = per_class_split(ONE_OF_TEN, **draw, train_in_database=False)
    assert with_train.sizes() == {"train": 200, "query": 100, "database": 500, "validation": 0}
    assert without.sizes() == {"train": 200, "query": 100, "database": 300, "validation": 0}
    for part in ("train", "query"):
        np.testing.assert_array_equal(getattr(with_train, part), getattr(without, part))
    np.testing.assert_array_equal(np.union1d(without.database, without.train), with_train.database)


@pytest.mark.parametrize("per_class", [100, 130])
def test_imagenet_protocol_draws_training_images_of_each_class_from_the_database(per_class):
    labels = np.concatenate([np.repeat(np.arange(3), 150), np.repeat(np.arange(3), 5)])
    pools = np.arange(450), np.arange(450, 465)
    split = per_class_split(labels, queries=None, train=per_class, pools=pools)
    np.testing.assert_array_equal(split.query, pools[1])
    np.testing.assert_array_equal(split.database, pools[0])
    np.testing.assert_array_equal(np.bincount(labels[split.train]), [per_class] * 3)
    assert np.isin(split.train, split.database).all()


def test_random_split_is_the_papers_multi_label_protocol():
    pool = np.arange(0, 2_000, 2)
    split = random_split(pool, queries=100, train=200, validation=50, seed=3)
    assert split.sizes() == {"train": 200, "query": 100, "database": 900, "validation": 50}
    assert np.isin(split.train, split.database).all()
    assert np.isin(split.validation, split.database).all()
    everything = np.concatenate([split.query, split.database])
    np.testing.assert_array_equal(np.sort(everything), pool)
    again = random_split(pool, queries=100, train=200, validation=50, seed=3)
    np.testing.assert_array_equal(split.query, again.query)
    other = random_split(pool, queries=100, train=200, validation=50, seed=4)
    assert not np.array_equal(split.query, other.query)


def test_random_split_can_leave_training_images_out_of_the_database():
    split = random_split(np.arange(100), queries=10, train=20, train_in_database=False)
    assert split.sizes() == {"train": 20, "query": 10, "database": 70, "validation": 0}
    assert not np.isin(split.train, split.database).any()


@pytest.mark.parametrize(
    "sizes",
    [
        {"queries": 5_000, "train": 10_000},
        {"queries": 100, "train": 1},
        {"queries": 90, "train": 10, "train_in_database": False},
        {"queries": 0, "train": 10},
        {"queries": 90, "train": 5, "validation": 10},
    ],
)
def test_random_split_names_the_parameters_when_there_are_too_few_images(sizes):
    with pytest.raises(ValueError, match=r"the 100 images .* Lower `queries`, `train_images`"):
        random_split(np.arange(100), **sizes)


def test_a_query_in_the_database_is_an_error_unless_allowed():
    parts = {"train": [1], "query": [0], "database": [0, 1]}
    with pytest.raises(
        ValueError,
        match=r"query and database must not overlap, but image \d is in both \(1 in total\)",
    ):
        Split(**parts)
    assert Split(**parts, allow_overlap=True).sizes()["database"] == 2


def test_a_validation_image_in_the_training_set_is_an_error_even_if_overlap_is_allowed():
    with pytest.raises(ValueError, match="validation and train must not overlap"):
        Split(train=[1], query=[0], database=[2], validation=[1], allow_overlap=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"queries": 10},
            "`queries` does not apply to digits, but is set to 10. .*`queries_per_class`",
        ),
        (
            {"validation_images": 10},
            "`validation_images` does not apply to digits, but is set to 10",
        ),
        (
            {"lists": "folder"},
            "`lists` does not apply to digits, but is set to folder. .*`dataset='folder'`",
        ),
        ({"queries_per_class": None}, "digits requires `queries_per_class`, got None"),
    ],
)
def test_an_option_for_another_kind_of_data_is_rejected_with_the_right_one(options, message):
    with pytest.raises(ValueError, match=message):
        DATASETS["digits"](Options(**{"queries_per_class": 5, "train_per_class": 5} | options))


@pytest.mark.parametrize("train_in_database", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_no_image_is_both_query_and_database_or_query_and_training_image(train_in_database, seed):
    labels = np.random.default_rng(seed).integers(0, 5, 300)
    split = per_class_split(
        labels,
        queries=4,
        train=10,
        validation=3,
        train_in_database=train_in_database,
        seed=seed,
    )
    assert not np.intersect1d(split.query, split.database).size
    assert not np.intersect1d(split.query, split.train).size
    assert not np.intersect1d(split.validation, split.train).size
    assert np.isin(split.validation, split.database).all()
    assert np.isin(split.train, split.database).all() == train_in_database
    assert (np.bincount(labels[split.query]) == 4).all()
    assert (np.bincount(labels[split.train]) == 10).all()
    union = np.union1d(np.union1d(split.query, split.database), split.train)
    np.testing.assert_array_equal(union, np.arange(300))


def test_pools_keep_queries_and_database_apart():
    labels = np.tile([0, 1], 20)
    pools = np.arange(30), np.arange(30, 40)
    split = per_class_split(labels, queries=None, train=5, pools=pools)
    np.testing.assert_array_equal(split.query, pools[1])
    np.testing.assert_array_equal(split.database, pools[0])


def test_a_split_sorts_its_indices_and_drops_repeats():
    split = Split(train=[5, 3, 5], query=range(2), database=np.array([4, 3], np.int32))
    parts = {name: part.tolist() for name, part in split.parts().items()}
    assert parts == {"train": [3, 5], "query": [0, 1], "database": [3, 4], "validation": []}
    assert {part.dtype for part in split.parts().values()} == {np.dtype(np.int64)}


def test_a_split_that_leaks_or_is_empty_is_rejected():
    with pytest.raises(
        ValueError,
        match=r"query and train must not overlap, but image \d is in both \(1 in total\)",
    ):
        Split(train=[1], query=[1], database=[2])
    with pytest.raises(ValueError, match="query must contain at least one"):
        Split(train=[1], query=[], database=[2])
    with pytest.raises(ValueError, match="class 1 must have more than 3 images"):
        per_class_split([0, 0, 0, 0, 1, 1], queries=3, train=1)
