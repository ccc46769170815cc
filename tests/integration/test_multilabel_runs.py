"""Tests training runs on small subsets of COCO (also as list files) and ImageNet-100."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data._tfds_labels import object_labels
from hashnet_jax.data.tfds_source import TfdsSource, open_builder
from tests.integration import ROOT, SHARED
from tests.support.pair_oracle import gradient_by_loop, gradient_by_package

TFDS = SHARED / "data" / "tfds"
SMALL = ["--backbone", "small_cnn", "--image-size", 32, "--steps", 5, "--batch-size", 16]


def run(cache, *args):
    return subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "run.py"), *map(str, args)],
        env=os.environ
        | {
            "XLA_FLAGS": "",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "XDG_CACHE_HOME": str(cache),
        },
        capture_output=True,
        text=True,
    )


def load_coco(**options):
    return DATASETS["coco"](Options(data_dir=str(TFDS), **options))


def test_coco_trains_and_reports_its_map(tmp_path):
    folder = tmp_path / "run"
    sizes = ("--queries", 100, "--train-images", 200, "--variant", "hashnet+c")
    result = run(
        tmp_path, "--dataset", "coco", "--data-dir", TFDS, *SMALL, *sizes, "--run-dir", folder
    )
    assert result.returncode == 0, result.stderr
    assert "200 train, 100 query, 620 database" in result.stdout
    assert "note: unlabelled images left out: 30" in result.stdout
    saved = json.loads((folder / "result.json").read_text())
    assert saved["variant"] == "hashnet+c"
    assert saved["map"]["cutoff"] == 5000
    assert 0.05 < saved["map"]["expected"] < 1
    assert saved["overlaps"]["query/database"] == {"same_image": 0, "same_picture": 0}
    assert saved["overlaps"]["train/database"]["same_image"] == 200
    with np.load(folder / "codes.npz") as codes:
        assert codes["database_labels"].shape == (620, 80)
        assert codes["database_labels"].any(axis=1).all()


def test_coco_with_the_papers_sizes_reports_how_many_images_there_are(tmp_path):
    folder = tmp_path / "run"
    result = run(tmp_path, "--dataset", "coco", "--data-dir", TFDS, *SMALL, "--run-dir", folder)
    assert result.returncode == 1
    assert "of the 720 images" in result.stderr
    assert "--queries, --train-images" in result.stderr
    assert not (folder / "config.json").exists()


def test_hashnet_c_changes_the_gradients_on_coco_according_to_its_formula(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dataset = load_coco(queries=100, train_images=200)
    labels = dataset.labels[dataset.split.train[:40]]
    codes = np.random.default_rng(0).uniform(-1, 1, (40, 48))
    found = gradient_by_package(codes, labels, 10 / 48, "hashnet+c")
    expected = gradient_by_loop(codes, labels, 10 / 48, "hashnet+c")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    plain = gradient_by_package(codes, labels, 10 / 48, "hashnet")
    assert np.abs(found - plain).max() > 0.05 * np.abs(plain).max()


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """Writes a small subset of COCO as list files and JPEG files."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "val 2014").mkdir()
    builder = open_builder("coco/2014", data_dir=TFDS)
    read = object_labels(builder.info.features)
    lines = []
    for record in TfdsSource(builder, "validation").records(0, 250):
        name = f"val 2014/{record['image/id']:012}.jpg"
        (folder / name).write_bytes(record["image"])
        lines.append(f"{name} {' '.join(map(str, read(record)))}\n")
    for name, part in (
        ("test", slice(50)),
        ("database", slice(50, None)),
        ("train", slice(50, 150)),
    ):
        (folder / f"{name}.txt").write_text("".join(lines[part]))
    return folder


def test_list_files_train_and_report_their_map(lists, tmp_path):
    folder = tmp_path / "run"
    args = ("--lists", lists, "--cutoff", 100, "--run-dir", folder)
    result = run(tmp_path, "--dataset", "lists", *SMALL, *args)
    assert result.returncode == 0, result.stderr
    assert "100 train, 50 query, 200 database" in result.stdout
    saved = json.loads((folder / "result.json").read_text())
    assert saved["map"]["cutoff"] == 100
    assert 0.05 < saved["map"]["expected"] < 1
    assert saved["summary"] in result.stdout


def test_list_files_have_the_labels_and_images_of_tfds(lists, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    by_lists = DATASETS["lists"](Options(lists=str(lists)))
    by_tfds = load_coco(queries=100, train_images=200)
    for index in (0, 60, 249):
        record = by_tfds.names.index(Path(by_lists.source.paths[index]).name)
        np.testing.assert_array_equal(by_lists.labels[index], by_tfds.labels[record])
        np.testing.assert_array_equal(by_lists.source[index], by_tfds.source[record])


@pytest.mark.parametrize("per_class", [5, 8])
def test_imagenet100_draws_training_images_per_class_from_the_database(
    per_class, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dataset = DATASETS["imagenet100"](Options(data_dir=str(TFDS), train_per_class=per_class))
    split, labels = dataset.split, dataset.labels
    np.testing.assert_array_equal(np.bincount(labels[split.train]), [per_class] * 100)
    assert np.isin(split.train, split.database).all()
    assert (len(split.query), len(split.database)) == (294, 1518)
