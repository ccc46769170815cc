"""Tests MIRFLICKR-25000, read from the files in its two archives."""

import json
import shutil

import numpy as np
import pytest

from hashnet_jax.configs import CONFIGS
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data.mirflickr25k import CONCEPTS
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.imagenet_miniature import jpeg
from tests.support.cli_case import hashnet

# As text, these numbers have another order. The last one has no label, the first two no picture.
NUMBERS = (3, 20_000, 9, 10, 25_000, 101, *range(200, 260), 7)
WITHOUT_PICTURE = NUMBERS[:2]
PICTURES = tuple(sorted(NUMBERS[2:]))
SIZES = {"queries": 8, "train_images": 20}
ANNOTATIONS = "mirflickr25k_annotations_v080"


def concepts_of(number):
    if number == NUMBERS[-1]:
        return set()
    return {CONCEPTS[number % 24], CONCEPTS[number % 7]}


def write_mirflickr(root, annotations=ANNOTATIONS):
    """Writes pictures and annotations as they are published."""
    (root / "mirflickr" / "meta" / "tags").mkdir(parents=True)
    for number in PICTURES:
        (root / "mirflickr" / f"im{number}.jpg").write_bytes(jpeg(number))
    folder = root / annotations
    folder.mkdir()
    for concept in CONCEPTS:
        lines = [f"{number}\r\n" for number in sorted(NUMBERS) if concept in concepts_of(number)]
        # All concepts occur in the published files.
        (folder / f"{concept}.txt").write_text("".join(lines) or "20000\r\n", newline="")
    (folder / "baby_r1.txt").write_text("9\r\n", newline="")
    (folder / "README.txt").write_text("MIRFLICKR25000 annotations\n")
    return root


@pytest.fixture
def root(tmp_path):
    return write_mirflickr(tmp_path / "flickr")


def load(root, **options):
    return DATASETS["mirflickr25k"](Options(image_root=str(root), **SIZES | options))


def test_images_have_the_labels_in_the_files_of_the_concepts(root):
    dataset = load(root)
    assert dataset.classes == CONCEPTS
    assert len(CONCEPTS) == 24
    assert dataset.names == tuple(f"im{number}.jpg" for number in PICTURES)
    for row, number in enumerate(PICTURES):
        own = {CONCEPTS[label] for label in np.flatnonzero(dataset.labels[row])}
        assert own == concepts_of(number)
        expected = (root / "mirflickr" / f"im{number}.jpg").read_bytes()
        assert expected == jpeg(number)
        assert dataset.source[row].shape == (7, 9, 3)
    assert len({dataset.source.digest(row) for row in range(len(PICTURES))}) == len(PICTURES)


def test_missing_pictures_are_counted_and_left_out(root):
    dataset = load(root)
    missing = 25_000 - len(PICTURES)
    assert dataset.notes == (
        f"pictures missing from {root / 'mirflickr'} and left out: {missing:,} of 25,000 "
        "(first: im1.jpg)",
        f"labelled images: 24,581 are published, but {len(NUMBERS) - 1} were found",
        "unlabelled images left out: 1",
    )
    names = dict(dataset.skipped)
    assert len(names) == missing
    for number in WITHOUT_PICTURE:
        assert names[f"im{number}.jpg"] == "the picture is missing"


def test_labelled_images_are_split_by_totals(root):
    dataset = load(root, validation_images=2)
    rest = len(PICTURES) - 1 - 8
    assert dataset.split.sizes() == {"train": 20, "query": 8, "database": rest, "validation": 2}
    unlabelled = dataset.names.index(f"im{NUMBERS[-1]}.jpg")
    for part in dataset.split.parts().values():
        assert unlabelled not in part


@pytest.mark.parametrize("folder", ["annotations", "mirflickr/annotations"])
def test_annotations_are_found_where_people_unpack_them(tmp_path, folder):
    expected = load(write_mirflickr(tmp_path / "published"))
    dataset = load(write_mirflickr(tmp_path / "own", folder))
    np.testing.assert_array_equal(dataset.labels, expected.labels)


def test_missing_and_unknown_files_are_named(root):
    path = root / ANNOTATIONS / "water.txt"
    path.rename(root / ANNOTATIONS / "wine.txt")
    with pytest.raises(
        FileNotFoundError, match=r"lacks 1 of the 24 label files \(first: water\.txt\); .*Download"
    ):
        load(root)
    shutil.copy(root / ANNOTATIONS / "wine.txt", path)
    with pytest.raises(ValueError, match=r"24 concepts, and no others, .* wine\.txt \(1 in total"):
        load(root)
    (root / ANNOTATIONS / "wine.txt").unlink()
    shutil.rmtree(root / "mirflickr")
    with pytest.raises(FileNotFoundError, match="lacks mirflickr or images"):
        load(root)
    (root / "mirflickr").mkdir()
    with pytest.raises(FileNotFoundError, match="none of the 25,000 pictures in mirflickr"):
        load(root)
    shutil.rmtree(root / ANNOTATIONS)
    with pytest.raises(FileNotFoundError, match=f"lacks {ANNOTATIONS} or annotations or"):
        load(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n25001\n", "line 2 must be the number of an image, 1 to 25,000, but is 25001"),
        ("0\n", "line 1 must be the number of an image, 1 to 25,000, but is 0"),
        ("1 2\n3 4\n", "one number per line, but has 2"),
        ("im1.jpg\n", r"could not convert string 'im1\.jpg'"),
        ("", "it is empty"),
    ],
)
def test_damaged_label_files_are_named(root, text, message):
    path = root / ANNOTATIONS / "sea.txt"
    path.write_text(text)
    with pytest.raises(DamagedFile, match=f"{path} is damaged .*{message}.* Unpack it again"):
        load(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_images": None}, "mirflickr25k requires `queries` and .*, got 8 and None"),
        ({"train_per_class": 2}, "`train_per_class` does not apply to mirflickr25k"),
        ({"manual_dir": "x"}, "`manual_dir` does not apply to mirflickr25k, .*`image_root`"),
        ({"image_root": None}, "mirflickr25k requires `image_root`, the folder with mirflickr/im1"),
    ],
)
def test_options_that_are_missing_or_do_not_apply_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        DATASETS["mirflickr25k"](Options(**{"image_root": str(tmp_path)} | SIZES | options))


def test_the_config_has_the_sizes_of_the_published_protocol():
    config = CONFIGS["mirflickr25k"]
    assert (config.data.queries, config.data.train_images) == (2_000, 10_000)
    assert config.cutoff is None


@pytest.mark.slow
def test_a_run_trains_and_reports_its_map(root, tmp_path, capsys):
    folder = tmp_path / "run"
    sizes = ("--queries", 8, "--train-images", 24)
    small = ("--backbone", "small_cnn", "--image-size", 8, "--bits", 12, "--steps", 3)
    run = ("--batch-size", 16, "--no-report", "--run-dir", folder)
    data = ("--dataset", "mirflickr25k", "--image-root", root)
    assert hashnet("train", *data, *sizes, *small, *run) == 0
    assert "24 train, 8 query, 56 database" in capsys.readouterr().out
    result = json.loads((folder / "result.json").read_text())
    assert 0 < result["map"]["expected"] < 1
    saved = json.loads((folder / "pictures.json").read_text())
    assert saved["names"] == [f"im{number}.jpg" for number in PICTURES]
    assert {"name": "im3.jpg", "reason": "the picture is missing"} in saved["skipped"]
