"""Tests that a run gives the same split, labels and MAP from TFDS and from published files."""

import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from hashnet_jax.data.tfds_source import TfdsSource, open_builder
from tests.integration import ROOT, SHARED

DATA = SHARED / "data"
SMALL = ["--backbone", "small_cnn", "--image-size", 32, "--steps", 5, "--batch-size", 16]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Unpacks the two archives as one does by hand, with a folder for each class in `train`."""
    root = tmp_path_factory.mktemp("ILSVRC2012")
    with tarfile.open(DATA / "ilsvrc2012" / "ILSVRC2012_img_train.tar") as archive:
        for member in archive:
            with tarfile.open(fileobj=archive.extractfile(member)) as pictures:
                pictures.extractall(root / "train" / member.name.removesuffix(".tar"))
    with tarfile.open(DATA / "ilsvrc2012" / "ILSVRC2012_img_val.tar") as archive:
        archive.extractall(root / "val")
    return root


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Writes TFDS's COCO as annotations and pictures."""
    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    builder = open_builder("coco/2014", data_dir=DATA / "tfds")
    names = builder.info.features["objects"].feature["label"].names
    # COCO's ids of categories are in this order, but have gaps.
    categories = [{"id": 1 + i * 9 // 8, "name": name} for i, name in enumerate(names)]
    for split, part in (("train", "train2014"), ("validation", "val2014")):
        (root / part).mkdir()
        content = {"images": [], "annotations": [], "categories": categories}
        source = TfdsSource(builder, split)
        for record in source.records(0, len(source)):
            number, name = int(record["image/id"]), record["image/filename"].decode()
            (root / part / name).write_bytes(record["image"])
            content["images"].append({"id": number, "file_name": name})
            content["annotations"] += [
                {"image_id": number, "category_id": categories[label]["id"], "bbox": [0, 0, 1, 1]}
                for label in record["objects"]["label"]
            ]
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
    return root


def train(folder, *args):
    """Trains; returns the text that was printed, the result, and the codes with their labels."""
    result = subprocess.run(
        [
            *(sys.executable, str(ROOT / "experiments" / "run.py"), *map(str, args)),
            *(*map(str, SMALL), "--no-report", "--run-dir", str(folder)),
        ],
        env=os.environ
        | {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder.parent)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    with np.load(folder / "codes.npz") as codes:
        arrays = {name: codes[name] for name in codes}
    return result.stdout, json.loads((folder / "result.json").read_text()), arrays


def assert_same_run(by_tfds, by_files):
    (_, result, codes), (_, other_result, other_codes) = by_tfds, by_files
    assert codes.keys() == other_codes.keys() >= {"query_indices", "database_labels"}
    for name, array in codes.items():
        np.testing.assert_array_equal(array, other_codes[name])
    for key in ("map", "sizes", "metrics"):
        assert result[key] == other_result[key]
    assert result["map"]["expected"] > 0


def test_imagenet100_has_the_same_split_labels_and_map_from_folders(imagenet, tmp_path):
    by_tfds = train(tmp_path / "tfds", "--dataset", "imagenet100", "--data-dir", DATA / "tfds")
    by_files = train(tmp_path / "files", "--dataset", "imagenet100", "--image-root", imagenet)
    assert_same_run(by_tfds, by_files)
    assert "training images: 128,503 are published, but 1,518 were found" in by_files[0]
    assert "validation images: 5,000 are published, but 294 were found" in by_files[0]


def test_coco_has_the_same_split_labels_and_map_from_annotations(coco, tmp_path):
    sizes = ("--queries", 100, "--train-images", 200)
    by_tfds = train(tmp_path / "tfds", "--dataset", "coco", "--data-dir", DATA / "tfds", *sizes)
    by_files = train(tmp_path / "files", "--dataset", "coco", "--image-root", coco, *sizes)
    assert_same_run(by_tfds, by_files)
    assert "images: 123,287 are published, but 750 were found" in by_files[0]
