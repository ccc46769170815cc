"""COCO through TFDS, on a folder of a few pictures written without TensorFlow."""

import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data.tfds_source import open_builder, read_split
from tests.data.tfds_folders import png, prepare

CLASSES = ["person", "bicycle", "car"]
# Categories of the objects of each image, one image without any.
OBJECTS = {
    "train": [[0], [2, 2], [], [0, 1], [1]],
    "validation": [[2], [0, 1, 2], [1]],
}


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """TFDS's folder with a prepared coco/2014 of 5 + 3 images, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "objects": tfds.features.Sequence({"label": tfds.features.ClassLabel(names=CLASSES)}),
    }
    examples = {
        split: [{"image": png(i), "objects": {"label": ids}} for i, ids in enumerate(objects)]
        for split, objects in OBJECTS.items()
    }
    prepare(tmp_path / "tfds", "coco/2014", "1.1.0", features, examples)
    return tmp_path / "tfds"


def test_coco_pools_its_splits_and_leaves_out_images_without_labels(data_dir):
    dataset = DATASETS["coco"](Options(data_dir=str(data_dir), queries=2, train_images=3))
    assert dataset.classes == tuple(CLASSES)
    assert dataset.labels.dtype == np.int8
    objects = OBJECTS["train"] + OBJECTS["validation"]
    expected = [[label in ids for label in range(3)] for ids in objects]
    np.testing.assert_array_equal(dataset.labels, expected)
    split = dataset.split
    used = np.sort(np.concatenate([split.query, split.database]))
    np.testing.assert_array_equal(used, [0, 1, 3, 4, 5, 6, 7])
    assert np.isin(split.train, split.database).all()
    assert dataset.notes == ("images without labels, left out: 1",)
    np.testing.assert_array_equal(dataset.source[6], np.full((4, 6, 3), 1))
    assert "tensorflow" not in sys.modules


def test_coco_labels_are_read_from_all_records_once_and_then_cached(data_dir, tmp_path):
    builder = open_builder("coco/2014", data_dir=data_dir)
    _, labels = read_split(builder, "train", "object_labels")
    (cached,) = (tmp_path / "cache" / "hashnet_jax").iterdir()
    np.testing.assert_array_equal(np.load(cached), labels)
    np.save(cached, 1 - labels)
    np.testing.assert_array_equal(read_split(builder, "train", "object_labels")[1], 1 - labels)


def test_the_database_of_coco_leaves_out_training_images_on_request(data_dir):
    sizes = {"queries": 2, "train_images": 3, "validation_images": 1}
    options = Options(data_dir=str(data_dir), **sizes, train_in_database=False)
    split = DATASETS["coco"](options).split
    assert split.sizes() == {"train": 3, "query": 2, "database": 2, "validation": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 5_000, "train_images": 10_000}, "the 7 images .* got 5,000 queries, 10,000"),
        ({"queries_per_class": 100}, "coco takes no `queries_per_class`, got 100: .*`queries`"),
        ({"queries": 2}, "coco needs `queries` and `train_images`, got 2 and None"),
    ],
)
def test_coco_names_the_sizes_it_needs(data_dir, options, message):
    with pytest.raises(ValueError, match=message):
        DATASETS["coco"](Options(data_dir=str(data_dir), **options))


def test_coco_that_is_not_prepared_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModuleNotFoundError, match=r"no prepared coco/2014 in .*pip"):
        DATASETS["coco"](Options(data_dir=str(tmp_path), queries=2, train_images=3))
