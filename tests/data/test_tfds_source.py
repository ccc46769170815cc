"""TFDS: data sets in memory or on disk, the cache of their labels, and what to do without them."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hashnet_jax.data import DATASETS, ArraySource, Options, tfds_source
from hashnet_jax.data.tfds_source import TfdsSource, open_builder, read_split
from tests.data.tfds_folders import png, prepare

LABELS = {"train": [0, 1, 1, 0, 1, 0], "test": [1, 0, 0, 1]}


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """TFDS's folder with a prepared mnist of 6 + 4 images, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    features = {
        "image": tfds.features.Image(shape=(4, 6, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["zero", "one"]),
    }
    examples = {
        split: [{"image": png(10 * i), "label": label} for i, label in enumerate(labels)]
        for split, labels in LABELS.items()
    }
    prepare(tmp_path / "tfds", "mnist", "3.0.1", features, examples)
    return tmp_path / "tfds"


def test_a_small_data_set_is_pooled_and_held_in_memory(data_dir):
    options = Options(data_dir=str(data_dir), queries_per_class=1, train_per_class=2)
    dataset = DATASETS["mnist"](options)
    assert dataset.source.in_memory
    assert dataset.classes == ("zero", "one")
    assert dataset.labels.tolist() == LABELS["train"] + LABELS["test"]
    assert dataset.split.sizes() == {"train": 4, "query": 2, "database": 8, "validation": 0}
    assert [int(dataset.source[i][0, 0, 0]) for i in (0, 5, 6, 9)] == [0, 50, 0, 30]


def test_a_large_data_set_stays_on_disk_and_its_labels_are_cached(data_dir, monkeypatch):
    in_memory, expected = read_split(open_builder("mnist", data_dir=data_dir), "train")
    assert isinstance(in_memory, ArraySource)
    monkeypatch.setattr(tfds_source, "MAX_DECODED_BYTES", 10)
    source, labels = read_split(open_builder("mnist", data_dir=data_dir), "train")
    assert isinstance(source, TfdsSource)
    np.testing.assert_array_equal(labels, expected)
    for i in range(len(source)):
        np.testing.assert_array_equal(source[i], in_memory[i])
        np.testing.assert_array_equal(source.squashed(i, 5), in_memory.squashed(i, 5))
    monkeypatch.delattr(TfdsSource, "records")  # what reads the labels
    _, cached = read_split(open_builder("mnist", data_dir=data_dir), "train")
    np.testing.assert_array_equal(cached, expected)
    assert cached.dtype == np.int64


def test_without_prepared_data_and_archives_the_error_names_files_and_folders(
    tmp_path,
):
    with pytest.raises(FileNotFoundError) as error:
        open_builder("imagenet2012", data_dir=tmp_path)
    message = str(error.value)
    for needed in (
        "ILSVRC2012_img_train.tar",
        "ILSVRC2012_img_val.tar",
        "image-net.org",
        str(tmp_path / "downloads" / "manual"),
        "`manual_dir`",
        "`data_dir`",
        "`dataset='digits'`",
    ):
        assert needed in message


def test_preparing_without_tensorflow_names_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[prepare\]'"):
        open_builder("cifar10", data_dir=tmp_path)
