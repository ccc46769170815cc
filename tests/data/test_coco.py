"""Tests loading COCO through TFDS, using a few pictures prepared without TensorFlow."""

import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hashnet_jax.data import DATASETS, Options, _tfds_labels
from hashnet_jax.data.tfds_source import open_builder, read_split
from hashnet_jax.distributed import array_cache
from hashnet_jax.distributed.array_cache import save_array
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.tfds_folders import png, prepare

CLASSES = ["person", "bicycle", "car"]
# Categories of the objects in each image. One image has no objects.
OBJECTS = {
    "train": [[0], [2, 2], [], [0, 1], [1]],
    "validation": [[2], [0, 1, 2], [1]],
}
# COCO's numbers of the images, which TFDS stores shuffled.
IDS = {"train": [30, 10, 25, 42, 7], "validation": [64, 8, 9]}


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Returns a TFDS folder with coco/2014 prepared from 5 + 3 images, and sets up a new cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "image/id": tfds.features.Scalar(np.int64),
        "objects": tfds.features.Sequence({"label": tfds.features.ClassLabel(names=CLASSES)}),
    }
    examples = {
        split: [
            {"image": png(number), "image/id": number, "objects": {"label": ids}}
            for number, ids in zip(IDS[split], objects, strict=True)
        ]
        for split, objects in OBJECTS.items()
    }
    prepare(tmp_path / "tfds", "coco/2014", "1.1.0", features, examples)
    return tmp_path / "tfds"


def test_coco_pools_its_splits_and_leaves_out_images_without_labels(data_dir):
    dataset = DATASETS["coco"](Options(data_dir=str(data_dir), queries=2, train_images=3))
    assert dataset.classes == tuple(CLASSES)
    assert dataset.labels.dtype == np.int8
    objects = {
        number: ids for split in IDS for number, ids in zip(IDS[split], OBJECTS[split], strict=True)
    }
    assert dataset.names == tuple(f"{number:012}.jpg" for number in (7, 8, 9, 10, 25, 30, 42, 64))
    expected = [[label in objects[number] for label in range(3)] for number in sorted(objects)]
    np.testing.assert_array_equal(dataset.labels, expected)
    split = dataset.split
    used = np.sort(np.concatenate([split.query, split.database]))
    np.testing.assert_array_equal(used, [0, 1, 2, 3, 5, 6, 7])
    assert np.isin(split.train, split.database).all()
    assert dataset.notes == ("unlabelled images left out: 1",)
    np.testing.assert_array_equal(dataset.source[6], np.full((4, 6, 3), 42))
    assert "tensorflow" not in sys.modules


def test_truncated_class_names_are_named(data_dir):
    path = data_dir / "coco" / "2014" / "1.1.0" / "objects-label.labels.txt"
    path.write_text("person\n")
    with pytest.raises(DamagedFile, match=f"{path} is damaged"):
        DATASETS["coco"](Options(data_dir=str(data_dir), queries=2, train_images=3))


def test_coco_labels_are_read_from_all_records_once_and_then_cached(
    data_dir, tmp_path, monkeypatch
):
    builder = open_builder("coco/2014", data_dir=data_dir)
    _, labels = read_split(builder, "train", "object_labels")
    (cached,) = (tmp_path / "cache" / "hashnet_jax").iterdir()
    np.testing.assert_array_equal(np.load(cached), labels)
    monkeypatch.setattr(_tfds_labels, "chunks", None)  # reads all records
    np.testing.assert_array_equal(read_split(builder, "train", "object_labels")[1], labels)


def test_cached_labels_that_do_not_match_the_records_are_not_used(data_dir, tmp_path, capsys):
    builder = open_builder("coco/2014", data_dir=data_dir)
    _, labels = read_split(builder, "train", "object_labels")
    (cached,) = (tmp_path / "cache" / "hashnet_jax").iterdir()
    np.save(cached, 1 - labels)
    np.testing.assert_array_equal(read_split(builder, "train", "object_labels")[1], labels)
    assert f"note: {cached} is damaged" in capsys.readouterr().err
    # A whole file, but computed from other records.
    stem = cached.stem.rpartition("-")[0]
    save_array(cached.parent, stem, 1 - labels)
    np.testing.assert_array_equal(read_split(builder, "train", "object_labels")[1], labels)
    assert "does not match the data" in capsys.readouterr().err


def test_coco_is_loaded_even_if_the_cache_cannot_be_written(data_dir, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    array_cache._say_once.cache_clear()
    dataset = DATASETS["coco"](Options(data_dir=str(data_dir), queries=2, train_images=3))
    assert len(dataset.labels) == 8
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_the_database_of_coco_leaves_out_training_images_on_request(data_dir):
    sizes = {"queries": 2, "train_images": 3, "validation_images": 1}
    options = Options(data_dir=str(data_dir), **sizes, train_in_database=False)
    split = DATASETS["coco"](options).split
    assert split.sizes() == {"train": 3, "query": 2, "database": 2, "validation": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 5_000, "train_images": 10_000}, "the 7 images .* got 5,000 queries, 10,000"),
        (
            {"queries_per_class": 100},
            "`queries_per_class` does not apply to coco, but is set to 100. .*`queries`",
        ),
        ({"queries": 2}, "coco requires `queries` and `train_images`, got 2 and None"),
    ],
)
def test_coco_names_the_sizes_it_needs(data_dir, options, message):
    with pytest.raises(ValueError, match=message):
        DATASETS["coco"](Options(data_dir=str(data_dir), **options))


def test_if_coco_is_not_prepared_the_error_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModuleNotFoundError, match=r"coco/2014 is not prepared in .*pip"):
        DATASETS["coco"](Options(data_dir=str(tmp_path), queries=2, train_images=3))
