"""Tests that COCO is the same from its annotations and pictures as from TFDS."""

import io
import json
import os
import random
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hashnet_jax.data import DATASETS, Options, _coco_files
from hashnet_jax.data.content import content_digest
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.imagenet_miniature import jpeg
from tests.data.tfds_folders import prepare

# COCO's ids of categories have gaps, and are not in order of name.
CATEGORIES = {1: "person", 18: "dog", 3: "car", 90: "toothbrush"}
SIZES = {"queries": 3, "train_images": 4, "validation_images": 1}
NOTES = (
    "images: 123,287 are published, but 12 were found",
    "labelled images: 122,218 are published, but 10 were found",
    "unlabelled images left out: 2",
)
# Categories of the objects in each image, keyed by the number of the image.
OBJECTS = {
    581_929: [1],
    9: [18, 18, 3],
    42: [],
    7: [90],
    133: [1, 3],
    25: [18],
    64: [3],
    30: [],
    8: [90, 1],
    61: [1],
    100: [18],
    5: [3, 90],
}
NUMBERS = {
    "2014": {"train": list(OBJECTS)[:8], "val": list(OBJECTS)[8:]},
    "2017": {"train": list(OBJECTS)[1:], "val": list(OBJECTS)[:1]},
}


def file_name(part, year, number):
    return f"COCO_{part}{year}_{number:012}.jpg" if year == "2014" else f"{number:012}.jpg"


def write_files(root, year="2014"):
    """Writes annotations and pictures as they are published."""
    (root / "annotations").mkdir(parents=True)
    for part, numbers in NUMBERS[year].items():
        (root / f"{part}{year}").mkdir()
        images, annotations = [], []
        for number in numbers:
            name = file_name(part, year, number)
            (root / f"{part}{year}" / name).write_bytes(jpeg(number))
            images.append({"license": 1, "file_name": name, "height": 7, "width": 9, "id": number})
            for category in OBJECTS[number]:
                annotation = {"image_id": number, "category_id": category, "id": len(annotations)}
                outline = {"segmentation": [[1.5, 2.5]], "iscrowd": int(category == 18)}
                annotations.append(annotation | outline)
        random.Random(0).shuffle(annotations)
        content = {
            "info": {"year": int(year)},
            "images": images,
            "annotations": annotations,
            "categories": [
                {"supercategory": "", "id": i, "name": CATEGORIES[i]} for i in CATEGORIES
            ],
        }
        path = root / "annotations" / f"instances_{part}{year}.json"
        path.write_text(json.dumps(content))
    return root


def write_tfds(data_dir):
    names = list(CATEGORIES.values())
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "image/filename": tfds.features.Text(),
        "image/id": tfds.features.Scalar(np.int64),
        "objects": tfds.features.Sequence({"label": tfds.features.ClassLabel(names=names)}),
    }
    examples = {}
    for split, part in (("train", "train"), ("validation", "val")):
        rows = [
            {
                "image": io.BytesIO(jpeg(number)),
                "image/filename": file_name(part, "2014", number),
                "image/id": number,
                "objects": {"label": [CATEGORIES[i] for i in OBJECTS[number]]},
            }
            for number in NUMBERS["2014"][part]
        ]
        examples[split] = random.Random(1).sample(rows, len(rows))
    prepare(data_dir, "coco/2014", "1.1.0", features, examples)
    return data_dir


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hashnet_jax"


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path / "coco")


def load(root, **options):
    return DATASETS["coco"](Options(image_root=str(root), **SIZES | options))


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_split_labels_and_images_are_the_same_from_files_as_from_tfds(tmp_path, year):
    files = load(write_files(tmp_path / "coco", year))
    data_dir = write_tfds(tmp_path / "tfds")
    records = DATASETS["coco"](Options(data_dir=str(data_dir), **SIZES))
    assert files.classes == records.classes == tuple(CATEGORIES.values())
    assert files.names == records.names == tuple(f"{n:012}.jpg" for n in sorted(OBJECTS))
    np.testing.assert_array_equal(files.labels, records.labels)
    for i, number in enumerate(sorted(OBJECTS)):
        own = {files.classes[label] for label in np.flatnonzero(files.labels[i])}
        assert own == {CATEGORIES[category] for category in OBJECTS[number]}
        np.testing.assert_array_equal(files.source[i], records.source[i])
        np.testing.assert_array_equal(files.source.squashed(i, 5), records.source.squashed(i, 5))
    for name, part in records.split.parts().items():
        np.testing.assert_array_equal(files.split.parts()[name], part)
    everything = np.arange(len(OBJECTS))
    assert content_digest(files.source, everything) == content_digest(records.source, everything)
    assert files.notes == NOTES
    assert records.notes == NOTES[2:]


def test_annotations_are_read_once_until_they_change(root, cache, monkeypatch):
    first = load(root)
    assert len(list(cache.iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr(_coco_files, "read_json", None)
        second = load(root)
    np.testing.assert_array_equal(first.labels, second.labels)
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    content["annotations"] = []
    path.write_text(json.dumps(content))
    assert load(root, queries=1, train_images=1).labels.sum() < first.labels.sum()


def test_annotations_of_the_same_size_and_time_are_other_annotations(root, cache):
    first = load(root)
    path = root / "annotations" / "instances_train2014.json"
    before = path.stat()
    path.write_text(path.read_text().replace('"category_id": 18', '"category_id": 90'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime) == (before.st_size, before.st_mtime)
    second = load(root)
    dog, toothbrush = (first.classes.index(name) for name in ("dog", "toothbrush"))
    assert second.labels[:, dog].sum() < first.labels[:, dog].sum()
    assert second.labels[:, toothbrush].sum() > first.labels[:, toothbrush].sum()


def test_the_cache_is_keyed_by_content_not_by_place(root, cache, tmp_path, monkeypatch):
    first = load(root)
    moved = root.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(_coco_files, "read_json", None)
    np.testing.assert_array_equal(load(moved).labels, first.labels)


def test_a_damaged_cache_is_not_used(root, cache, capsys):
    first = load(root)
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    np.testing.assert_array_equal(load(root).labels, first.labels)
    assert "is damaged" in capsys.readouterr().err


def test_without_a_cache_folder_annotations_are_read_each_time(root, monkeypatch):
    monkeypatch.setattr(_coco_files, "cache_folder", lambda: None)
    np.testing.assert_array_equal(load(root).labels, load(root).labels)


def test_missing_files_are_named_with_the_layout_and_the_remedy(root):
    shutil.rmtree(root / "val2014")
    with pytest.raises(
        FileNotFoundError,
        match=r"with annotations/instances_train2014\.json.* lacks val2014/; it contains "
        r"annotations/, train2014/\. Download train2014\.zip",
    ):
        load(root)
    (root / "val2014").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"lacks 4 of the 4 pictures of val2014 \(first: CO"
    ):
        load(root)
    shutil.rmtree(root / "annotations")
    with pytest.raises(
        FileNotFoundError, match=r"lacks annotations/instances_train2014\.json, ann"
    ):
        load(root)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("images"),
        lambda content: content["annotations"].append({"image_id": 0, "category_id": 1}),
        lambda content: content["annotations"].append({"image_id": 9, "category_id": 2}),
        lambda content: content["images"].append({"id": "x", "file_name": "x.jpg"}),
        lambda content: content.update(categories=None),
    ],
)
def test_damaged_annotations_are_named(root, damage):
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedFile, match=f"{path} is damaged"):
        load(root)


def test_annotations_with_different_categories_are_refused(root):
    path = root / "annotations" / "instances_val2014.json"
    path.write_text(path.read_text().replace("toothbrush", "brush"))
    with pytest.raises(ValueError, match="must have the same categories, but have different ones"):
        load(root)


def test_options_for_tfds_do_not_apply_to_files(root):
    with pytest.raises(ValueError, match="`manual_dir` does not apply to coco with `image_root`"):
        load(root, manual_dir="x")
    with pytest.raises(ValueError, match="`lists` does not apply to coco"):
        load(root, lists="x")
