"""Tests the protocol in which queries and database are of classes that training never sees."""

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.configs import CONFIGS, Config
from hashnet_jax.data import DATASETS, Options, per_class_split, unseen_class_split

TEN = np.repeat(np.arange(10), 40)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unseen", [2, 3, 8])
def test_no_image_of_an_unseen_class_is_trained_on_and_no_query_is_in_the_database(seed, unseen):
    labels = np.random.default_rng(seed).permutation(TEN)
    split = unseen_class_split(labels, unseen=unseen, queries=5, train=20, validation=4, seed=seed)
    searched = np.unique(labels[np.union1d(split.query, split.database)])
    learned = np.unique(labels[np.union1d(split.train, split.validation)])
    assert (len(searched), len(learned)) == (unseen, 10 - unseen)
    assert not np.intersect1d(searched, learned).size
    assert not np.intersect1d(split.query, split.database).size
    assert not np.intersect1d(split.train, split.validation).size
    for part, number in ((split.query, 5), (split.train, 20), (split.validation, 4)):
        counts = np.bincount(labels[part], minlength=10)
        assert set(counts.tolist()) == {0, number}
    # The database is everything else of the unseen classes.
    everything = np.flatnonzero(np.isin(labels, searched))
    np.testing.assert_array_equal(np.union1d(split.query, split.database), everything)


def test_the_seed_chooses_the_classes_and_more_unseen_classes_include_the_same():
    def searched(unseen, seed):
        split = unseen_class_split(TEN, unseen=unseen, queries=5, train=None, seed=seed)
        return set(TEN[split.query].tolist())

    assert searched(3, 0) == searched(3, 0)
    assert len({frozenset(searched(3, seed)) for seed in range(6)}) > 3
    assert searched(2, 1) < searched(3, 1) < searched(7, 1)


def test_pools_keep_their_roles():
    labels = np.tile(np.arange(5), 20)
    pools = np.arange(60), np.arange(60, 100)
    split = unseen_class_split(labels, unseen=2, queries=None, train=7, pools=pools)
    assert split.query.min() >= 60
    assert max(split.database.max(), split.train.max()) < 60
    assert split.sizes() == {"train": 21, "query": 16, "database": 24, "validation": 0}


@pytest.mark.parametrize("unseen", [1, 9, 10])
def test_search_and_training_must_each_tell_two_classes_apart(unseen):
    message = f"at least 2 classes for training .* got {unseen} of 10 classes"
    with pytest.raises(ValueError, match=message):
        unseen_class_split(TEN, unseen=unseen, queries=5, train=20)


def test_an_unseen_class_without_a_database_is_rejected():
    with pytest.raises(ValueError, match=r"class \d must have more than 40 images"):
        unseen_class_split(TEN, unseen=3, queries=40, train=20)


def test_digits_with_unseen_classes_say_so_and_other_digits_are_split_as_before():
    options = Options(queries_per_class=20, train_per_class=100, unseen_classes=3)
    dataset = DATASETS["digits"](options)
    split, labels = dataset.split, dataset.labels
    assert split.sizes()["train"] == 700
    assert not np.intersect1d(labels[split.train], labels[split.database]).size
    names = ", ".join(dataset.classes[label] for label in np.unique(labels[split.query]))
    assert dataset.notes == (f"queries and database: 3 classes unseen in training ({names})",)

    usual = DATASETS["digits"](Options(queries_per_class=20, train_per_class=100))
    assert usual.notes == ()
    expected = per_class_split(usual.labels, queries=20, train=100)
    for name, part in expected.parts().items():
        np.testing.assert_array_equal(getattr(usual.split, name), part)


@pytest.fixture
def root(tmp_path):
    for label in "abcde":
        for i in range(8):
            path = tmp_path / "pictures" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (i * 20, 0, ord(label))).save(path)
    return tmp_path / "pictures"


def test_one_s_own_folders_are_split_into_seen_and_unseen_classes(root):
    options = Options(image_root=str(root), unseen_classes=2, validation_per_class=2)
    dataset = DATASETS["folder"](options)
    assert dataset.split.sizes() == {"train": 18, "query": 2, "database": 14, "validation": 6}
    searched = dataset.labels[dataset.split.database]
    assert not np.isin(dataset.labels[dataset.split.train], searched).any()
    assert dataset.notes[-1].startswith("queries and database: 2 classes unseen in training (")


def test_pictures_with_several_labels_have_no_unseen_classes(root):
    csv = root / "labels.csv"
    csv.write_text("".join(f"a/{i}.png,x;y\nb/{i}.png,z\n" for i in range(8)))
    options = Options(csv=str(csv), unseen_classes=2)
    message = "`unseen_classes` does not apply to folder, .* several labels may have both"
    with pytest.raises(ValueError, match=message):
        DATASETS["folder"](options)
    with pytest.raises(ValueError, match="`unseen_classes` does not apply to coco"):
        DATASETS["coco"](Options(queries=5, train_images=5, unseen_classes=2))
    with pytest.raises(ValueError, match="`unseen_classes` does not apply to lists"):
        DATASETS["lists"](Options(lists=str(root), unseen_classes=2))


@pytest.mark.bad_input
def test_a_negative_number_of_unseen_classes_is_rejected():
    with pytest.raises(ValueError, match="`unseen_classes` must be >= 0, got -1"):
        Options(unseen_classes=-1)


def test_a_config_from_before_this_protocol_is_read_as_one_without_it():
    content = CONFIGS["digits"].to_json()
    del content["data"]["unseen_classes"]
    assert Config.from_json(content) == CONFIGS["digits"]
