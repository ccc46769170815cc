"""Tests that ImageNet-100 is the same from folders of pictures as from TFDS."""

import shutil
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.data import DATASETS, Options, imagenet100
from hashnet_jax.data.content import content_digest
from tests.data.imagenet_miniature import (
    CLASSES,
    OTHER_CLASSES,
    jpeg,
    validation_files,
    write_files,
    write_tfds,
)

SIZES = {"train_per_class": 1, "validation_per_class": 1}
COUNTS = (
    "training images: 128,503 are published, but 300 were found",
    "validation images: 5,000 are published, but 200 were found",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Returns the folders of the miniature, by layout; tests that change one make a copy."""
    root = tmp_path_factory.mktemp("imagenet")
    return {
        "flat": write_files(root / "flat", flat=True),
        "sorted": write_files(root / "sorted", flat=False),
        "tfds": write_tfds(root / "tfds"),
    }


@pytest.fixture
def flat(originals, tmp_path):
    """Returns a copy of the miniature that a test may change."""
    return shutil.copytree(originals["flat"], tmp_path / "ILSVRC2012")


def load(root, **options):
    return DATASETS["imagenet100"](Options(image_root=str(root), **SIZES, **options))


def from_tfds(originals, **options):
    options = Options(data_dir=str(originals["tfds"]), **SIZES, **options)
    return DATASETS["imagenet100"](options)


@pytest.mark.parametrize("layout", ["flat", "sorted"])
@pytest.mark.parametrize("seed", [0, 1])
def test_split_labels_names_and_images_are_the_same_from_files_as_from_tfds(
    originals, layout, seed
):
    files, records = load(originals[layout], split_seed=seed), from_tfds(originals, split_seed=seed)
    assert files.classes == records.classes == CLASSES
    np.testing.assert_array_equal(files.labels, records.labels)
    assert files.names == records.names
    for name, part in records.split.parts().items():
        assert len(part)
        np.testing.assert_array_equal(files.split.parts()[name], part)
    for i in range(len(records.labels)):
        np.testing.assert_array_equal(files.source[i], records.source[i])
        np.testing.assert_array_equal(files.source.squashed(i, 5), records.source.squashed(i, 5))
    everything = np.arange(len(records.labels))
    assert content_digest(files.source, everything) == content_digest(records.source, everything)
    assert files.notes == COUNTS
    assert records.notes == ()


def test_images_are_in_order_of_class_and_number_with_the_published_labels(originals):
    dataset = load(originals["flat"])
    assert dataset.names[:4] == (
        *(f"{CLASSES[0]}_{number}.JPEG" for number in (9, 101, 10_026)),
        f"{CLASSES[1]}_9.JPEG",
    )
    assert dataset.labels[:4].tolist() == [0, 0, 0, 1]
    published = validation_files()
    for i in dataset.split.query:
        assert published[dataset.names[i]][0] == CLASSES[dataset.labels[i]]
    assert dataset.split.sizes() == {
        "train": 100,
        "query": 200,
        "database": 300,
        "validation": 100,
    }
    assert not any(name.startswith(OTHER_CLASSES) for name in dataset.names)


def test_the_published_validation_labels_are_those_that_tfds_ships():
    labels = imagenet100.published_validation_labels()
    np.testing.assert_array_equal(np.bincount(list(labels.values())), [50] * 100)
    file = resources.files("tensorflow_datasets.datasets.imagenet2012") / "validation_labels.txt"
    published = enumerate(file.read_text().split(), start=1)
    assert labels == {i: CLASSES.index(wnid) for i, wnid in published if wnid in CLASSES}


def test_the_exif_orientation_is_ignored_as_by_tfds(originals):
    source = load(originals["flat"]).source
    assert {source[i].shape for i in range(len(source))} == {(7, 9, 3)}


def test_a_changed_folder_is_noticed(flat):
    before = load(flat)
    (flat / "train" / CLASSES[2] / f"{CLASSES[2]}_77.jpg").write_bytes(jpeg(7))
    after = load(flat)
    assert set(after.names) - set(before.names) == {f"{CLASSES[2]}_77.JPEG"}


def test_files_that_are_no_pictures_of_the_data_set_are_counted(flat):
    folder = flat / "train" / CLASSES[0]
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / f"{CLASSES[1]}_5.JPEG").write_bytes(jpeg(1))
    (flat / "val" / "val.txt").write_bytes(b"x")
    assert load(flat).notes[2:] == (
        f"passed over (not named WNID_NUMBER.JPEG, like its folder): 2 (first: train/{CLASSES[0]}"
        "/Thumbs.db)",
        "passed over (not named ILSVRC2012_val_NUMBER.JPEG, with 8 digits): 1 (first: val/val.txt)",
    )


def test_a_validation_picture_in_the_wrong_folder_keeps_its_published_label(originals, tmp_path):
    root = shutil.copytree(originals["sorted"], tmp_path / "ILSVRC2012")
    picture = next((root / "val" / CLASSES[5]).iterdir())
    picture.rename(root / "val" / CLASSES[6] / picture.name)
    dataset = load(root)
    assert dataset.labels[dataset.names.index(picture.name)] == 5
    assert dataset.notes[2] == (
        "pictures in another class's folder, for which the published classes are used: 1 (first: "
        f"val/{CLASSES[6]}/{picture.name})"
    )


def test_two_files_for_one_picture_are_refused(flat):
    name = list(validation_files())[1]
    (flat / "val" / "copies").mkdir()
    shutil.copy(flat / "val" / name, flat / "val" / "copies")
    with pytest.raises(ValueError, match=f"each picture once.* val/{name} and val/copies/{name}"):
        load(flat)


def test_missing_folders_are_named_with_the_layout_and_the_remedy(flat, tmp_path):
    layout = r"train/WNID/WNID_NUMBER.JPEG and val/ILSVRC2012_val_NUMBER.JPEG"
    with pytest.raises(FileNotFoundError, match=rf"with {layout}.* no folder at .*none\. Unpack"):
        load(tmp_path / "none")
    shutil.rmtree(flat / "train" / CLASSES[3])
    message = rf"no pictures of 1 of 100 classes in train \(first: {CLASSES[3]}\); it contains "
    with pytest.raises(FileNotFoundError, match=rf"{message}train/, val/\. Unpack ILSVRC2012"):
        load(flat)
    (flat / "train").rename(flat / "training")
    with pytest.raises(FileNotFoundError, match=r"has no folder train; it contains training/, val"):
        load(flat)


def test_missing_validation_pictures_are_named(flat):
    shutil.rmtree(flat / "val")
    with pytest.raises(FileNotFoundError, match="has no folder val; it contains train/"):
        load(flat)
    (flat / "val").mkdir()
    Image.new("RGB", (2, 2)).save(flat / "val" / "a.jpeg")
    with pytest.raises(
        FileNotFoundError, match=r"no validation pictures .*; passed over .*a\.jpeg"
    ):
        load(flat)


def test_a_damaged_picture_is_named_when_it_is_read(flat):
    dataset = load(flat)
    path = flat / "train" / CLASSES[0] / f"{CLASSES[0]}_9.JPEG"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(OSError, match=f"cannot read the picture {path} "):
        dataset.source[0]


def test_options_for_tfds_do_not_apply_to_files(flat):
    with pytest.raises(ValueError, match="`data_dir` does not apply to imagenet100 with `image_r"):
        load(flat, data_dir="x")
    with pytest.raises(ValueError, match="`csv` does not apply to imagenet100"):
        load(flat, csv="x")
