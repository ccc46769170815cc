"""Tests reading TFDS data sets in memory or from disk, and the label cache."""

import io
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from hashnet_jax.data import DATASETS, ArraySource, Options, _tfds_labels, tfds_source
from hashnet_jax.data.content import content_digest
from hashnet_jax.data.tfds_source import TfdsSource, open_builder, read_split
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.tfds_folders import png, prepare
from tests.support.bad_pictures import bomb

LABELS = {"train": [0, 1, 1, 0, 1, 0], "test": [1, 0, 0, 1]}


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Returns a TFDS folder with mnist prepared from 6 + 4 images, and sets up a new cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_mnist(tmp_path / "tfds", LABELS)


def write_mnist(data_dir, labels_of, *, first_level=0, encoded=None):
    """Prepares mnist with pictures of rising level, or with ``encoded`` as every picture."""
    features = {
        "image": tfds.features.Image(shape=(4, 6, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["zero", "one"]),
    }
    examples = {
        split: [
            {"image": io.BytesIO(encoded) if encoded else png(first_level + 10 * i), "label": label}
            for i, label in enumerate(labels)
        ]
        for split, labels in labels_of.items()
    }
    prepare(data_dir, "mnist", "3.0.1", features, examples)
    return data_dir


def test_a_small_data_set_is_pooled_and_held_in_memory(data_dir):
    options = Options(data_dir=str(data_dir), queries_per_class=1, train_per_class=2)
    dataset = DATASETS["mnist"](options)
    assert dataset.source.in_memory
    assert dataset.classes == ("zero", "one")
    assert dataset.labels.tolist() == LABELS["train"] + LABELS["test"]
    assert dataset.split.sizes() == {"train": 4, "query": 2, "database": 8, "validation": 0}
    assert [int(dataset.source[i][0, 0, 0]) for i in (0, 5, 6, 9)] == [0, 50, 0, 30]


def test_a_large_data_set_stays_on_disk_and_its_labels_are_cached(data_dir, monkeypatch):
    in_memory, expected = read_split(open_builder("mnist", data_dir=data_dir), "train", "class_ids")
    assert isinstance(in_memory, ArraySource)
    monkeypatch.setattr(tfds_source, "MAX_DECODED_BYTES", 10)
    source, labels = read_split(open_builder("mnist", data_dir=data_dir), "train", "class_ids")
    assert isinstance(source, TfdsSource)
    np.testing.assert_array_equal(labels, expected)
    for i in range(len(source)):
        np.testing.assert_array_equal(source[i], in_memory[i])
        np.testing.assert_array_equal(source.squashed(i, 5), in_memory.squashed(i, 5))
    monkeypatch.setattr(_tfds_labels, "chunks", None)  # reads all records
    _, cached = read_split(open_builder("mnist", data_dir=data_dir), "train", "class_ids")
    np.testing.assert_array_equal(cached, expected)
    assert cached.dtype == np.int64


def test_labels_are_read_again_if_the_data_set_is_prepared_again(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "MAX_DECODED_BYTES", 10)
    _, before = read_split(open_builder("mnist", data_dir=data_dir), "train", "class_ids")
    shutil.rmtree(data_dir)
    write_mnist(data_dir, {name: [1 - label for label in part] for name, part in LABELS.items()})
    _, after = read_split(open_builder("mnist", data_dir=data_dir), "train", "class_ids")
    np.testing.assert_array_equal(after, 1 - before)


def test_records_are_identified_by_content(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "MAX_DECODED_BYTES", 10)

    def digest(folder):
        source, _ = read_split(open_builder("mnist", data_dir=folder), "train", "class_ids")
        return content_digest(source, np.arange(len(source)))

    write_mnist(tmp_path / "same", LABELS)
    write_mnist(tmp_path / "other", LABELS, first_level=1)
    assert digest(data_dir) == digest(tmp_path / "same")
    assert digest(data_dir) != digest(tmp_path / "other")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_damaged_description_is_named(data_dir, name):
    path = data_dir / "mnist" / "3.0.1" / name
    for damaged in (b"", b"[]", b"\xff", path.read_bytes()[:50]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=f"{path} is damaged"):
            open_builder("mnist", data_dir=data_dir)


def test_truncated_class_names_are_named(data_dir):
    path = data_dir / "mnist" / "3.0.1" / "label.labels.txt"
    path.write_text("zero\n")
    options = Options(data_dir=str(data_dir), queries_per_class=1, train_per_class=2)
    with pytest.raises(DamagedFile, match=f"{path} is damaged"):
        DATASETS["mnist"](options)


@pytest.mark.parametrize("limit", [10, 10**9])
def test_a_damaged_record_is_named(data_dir, monkeypatch, limit):
    monkeypatch.setattr(tfds_source, "MAX_DECODED_BYTES", limit)
    (path,) = (data_dir / "mnist" / "3.0.1").glob("mnist-train.array_record*")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    builder = open_builder("mnist", data_dir=data_dir)
    with pytest.raises(DamagedFile, match=rf"{path.parent}, train record \d is damaged"):
        read_split(builder, "train", "class_ids")


def test_a_record_that_is_a_decompression_bomb_or_in_an_unsupported_format_is_rejected(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tfds_source, "MAX_DECODED_BYTES", 10)
    pcx = io.BytesIO()
    Image.new("RGB", (6, 4)).save(pcx, "PCX")
    for data, reason in ((bomb(15_000, 11_800), "89,478,485 pixels"), (pcx.getvalue(), "format")):
        folder = tmp_path / str(len(data))
        write_mnist(folder, {"train": [0], "test": [1]}, encoded=data)
        source, _ = read_split(open_builder("mnist", data_dir=folder), "train", "class_ids")
        for read in (lambda s: s[0], lambda s: s.squashed(0, 5)):
            with pytest.raises(DamagedFile, match=f"train record 0 .*{reason}"):
                read(source)


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
        "`image_root`",
        "`dataset='digits'`",
    ):
        assert needed in message


def test_preparing_without_tensorflow_names_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[prepare\]'") as error:
        open_builder("mnist", data_dir=tmp_path)
    assert "image_root" not in str(error.value)
    with pytest.raises(ModuleNotFoundError, match="unpacked archives as `image_root`"):
        open_builder("coco/2014", data_dir=tmp_path)
