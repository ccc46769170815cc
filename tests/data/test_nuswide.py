"""Tests NUS-WIDE, read from the files that its authors publish, with 81 and with 21 concepts."""

import json
import shutil

import numpy as np
import pytest

from hashnet_jax.configs import CONFIGS
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data._nuswide_files import CONCEPTS
from hashnet_jax.data.nuswide import MOST_FREQUENT_CONCEPTS
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.imagenet_miniature import jpeg
from tests.support.cli_case import hashnet

N = 105
FOLDERS = ("actor", "zebra", "Administrative_Assistant")
NAMES = tuple(f"{FOLDERS[i % 3]}/{i:04}_{2_124_494_179 + i}.jpg" for i in range(N))
SIZES = {"queries": 8, "train_images": 20}
PER_CONCEPT = {"queries_per_class": 1, "train_per_class": 1}


def concepts_of(i):
    """Concepts of image i: none of the first, only a rare one of the next two."""
    if i < 3:
        return {"zebra"} if i else set()
    rare = {"zebra", "airport"} if i % 5 == 0 else set()
    return rare | {MOST_FREQUENT_CONCEPTS[(i + step) % 21] for step in range(1 + i % 3)}


def write_nuswide(root, pictures="Flickr", newline="\r\n"):
    """Writes lists, labels and pictures as they are published."""
    (root / "ImageList").mkdir(parents=True)
    (root / "Groundtruth" / "AllLabels").mkdir(parents=True)
    lines = [name.replace("/", "\\") + newline for name in NAMES]
    (root / "ImageList" / "Imagelist.txt").write_text("".join(lines), newline="")
    for concept in CONCEPTS:
        lines = [f"{int(concept in concepts_of(i))}{newline}" for i in range(N)]
        path = root / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt"
        path.write_text("".join(lines), newline="")
    for i, name in enumerate(NAMES):
        path = root / pictures / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(i))
    return root


@pytest.fixture
def root(tmp_path):
    return write_nuswide(tmp_path / "nuswide")


def load(root, name="nuswide", **options):
    sizes = SIZES if name == "nuswide" else PER_CONCEPT
    return DATASETS[name](Options(image_root=str(root), **sizes | options))


def label_file(root, concept):
    return root / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt"


@pytest.mark.parametrize(
    ("name", "concepts", "published"),
    [("nuswide", CONCEPTS, "209,347"), ("nuswide_21", MOST_FREQUENT_CONCEPTS, "195,834")],
)
def test_images_have_the_labels_in_the_files_of_the_concepts(root, name, concepts, published):
    dataset = load(root, name)
    assert dataset.names == NAMES
    assert dataset.classes == concepts
    for i in range(N):
        own = {concepts[label] for label in np.flatnonzero(dataset.labels[i])}
        assert own == concepts_of(i) & set(concepts)
    labelled = int(dataset.labels.any(axis=1).sum())
    assert dataset.notes == (
        f"images: 269,648 are published, but {N} were found",
        f"images with one of the {len(concepts)} concepts: {published} are published, but "
        f"{labelled} were found",
        f"unlabelled images left out: {N - labelled}",
    )
    assert dataset.skipped == ()


def test_pictures_are_found_in_their_folders_or_all_in_one(root):
    nested = load(root)
    before = [nested.source.digest(i) for i in range(N)]
    flat = root / "images"
    flat.mkdir()
    for path in sorted((root / "Flickr").rglob("*.jpg")):
        path.rename(flat / path.name)
    shutil.rmtree(root / "Flickr")
    together = load(root)
    assert together.names == nested.names
    digests = [together.source.digest(i) for i in range(N)]
    assert digests == before
    assert len(set(digests)) == N


def test_eighty_one_concepts_are_split_by_totals(root):
    split = load(root, validation_images=2).split
    assert split.sizes() == {"train": 20, "query": 8, "database": N - 1 - 8, "validation": 2}
    assert 0 not in split.database  # has no label
    assert load(root, split_seed=1).split.query.tolist() != split.query.tolist()


def test_twenty_one_concepts_are_split_concept_by_concept(root):
    dataset = load(root, "nuswide_21", validation_per_class=0)
    split, labels = dataset.split, dataset.labels
    assert split.sizes() == {"train": 21, "query": 21, "database": N - 3 - 21, "validation": 0}
    for part in (split.train, split.query):
        assert labels[part].any(axis=0).all()
    assert np.isin(split.train, split.database).all()
    rest = load(root, "nuswide_21", train_in_database=False).split
    np.testing.assert_array_equal(rest.query, split.query)
    np.testing.assert_array_equal(np.union1d(rest.database, rest.train), split.database)
    assert load(root, "nuswide_21", split_seed=1).split.query.tolist() != split.query.tolist()


def test_a_concept_with_too_few_images_is_named(root):
    with pytest.raises(
        ValueError,
        match=r"`train_per_class` must be at most the number of images of a concept that are not "
        r"drawn yet, \d+ for \w+, got 40",
    ):
        load(root, "nuswide_21", train_per_class=40)


def test_missing_pictures_are_counted_and_left_out(root):
    whole = load(root)
    (root / "Flickr" / NAMES[7]).unlink()
    (root / "Flickr" / NAMES[30]).unlink()
    dataset = load(root)
    assert dataset.notes[0] == (
        f"pictures missing from {root / 'Flickr'} and left out: 2 of {N} (first: {NAMES[7]})"
    )
    assert dataset.skipped == tuple((NAMES[i], "the picture is missing") for i in (7, 30))
    kept = np.delete(np.arange(N), [7, 30])
    np.testing.assert_array_equal(dataset.labels, whole.labels[kept])
    assert dataset.names == tuple(NAMES[i] for i in kept)
    for row, i in enumerate(kept):
        assert dataset.source.digest(row) == whole.source.digest(int(i))


def test_without_any_picture_the_layout_and_the_remedy_are_named(root):
    shutil.rmtree(root / "Flickr")
    with pytest.raises(FileNotFoundError, match=r"lacks Flickr or images; it contains .*Download"):
        load(root)
    (root / "Flickr").mkdir()
    with pytest.raises(
        FileNotFoundError, match=rf"none of the {N} pictures in Flickr \(first: {NAMES[0]}\)"
    ):
        load(root)


def test_missing_and_unknown_label_files_are_named(root):
    path = label_file(root, "zebra")
    path.rename(label_file(root, "unicorn"))
    with pytest.raises(
        FileNotFoundError, match=r"lacks 1 of the 81 label files \(first: Labels_zebra\.txt\)"
    ):
        load(root)
    shutil.copy(label_file(root, "unicorn"), path)
    with pytest.raises(ValueError, match=r"81 concepts, and no others, .* Labels_unicorn\.txt"):
        load(root)
    shutil.rmtree(root / "Groundtruth")
    with pytest.raises(FileNotFoundError, match="lacks Groundtruth/AllLabels or AllLabels"):
        load(root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.partition("\n")[2], rf"each of the {N} lines .* has {N - 1} lines"),
        (lambda text: "0 1\n" * N, f"has {N} lines with 2 entries"),
        (lambda text: text.replace("1", "2", 1), r"line 6 must be 0 or 1, but is 2"),
        (lambda text: text.replace("1", "-1", 1), r"line 6 must be 0 or 1, but is -1"),
        (lambda text: text.replace("1", "yes", 1), "could not convert string 'yes'"),
        (lambda text: "", "it is empty"),
    ],
)
def test_damaged_label_files_are_named(root, damage, message):
    path = label_file(root, "airport")
    path.write_text(damage(path.read_text()))
    with pytest.raises(DamagedFile, match=f"{path} is damaged .*{message}.* Unpack it again"):
        load(root)


def test_a_damaged_image_list_is_named(root):
    path = root / "ImageList" / "Imagelist.txt"
    for text in ("", path.read_text() + "\n\n"):
        path.write_text(text)
        with pytest.raises(DamagedFile, match=f"{path} is damaged .*a path on each line"):
            load(root)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nuswide", {"queries": None}, "nuswide requires `queries` and `train_images`, got None"),
        ("nuswide", {"queries_per_class": 2}, "`queries_per_class` does not apply to nuswide"),
        ("nuswide_21", {"train_per_class": None}, r"requires `queries_per_class` and .* and None"),
        ("nuswide_21", {"queries": 2}, "`queries` does not apply to nuswide_21"),
        ("nuswide_21", {"data_dir": "x"}, "`data_dir` does not apply to nuswide_21, .*image_root"),
        ("nuswide", {"lists": "x"}, "`lists` does not apply to nuswide"),
        ("nuswide", {"image_root": None}, "nuswide requires `image_root`, the folder with Image"),
    ],
)
def test_options_that_are_missing_or_do_not_apply_are_named(tmp_path, name, options, message):
    sizes = SIZES if name == "nuswide" else PER_CONCEPT
    with pytest.raises(ValueError, match=message):
        DATASETS[name](Options(**{"image_root": str(tmp_path)} | sizes | options))


def test_configs_have_the_sizes_of_the_published_protocols():
    paper, later = CONFIGS["nuswide"], CONFIGS["nuswide_21"]
    assert (paper.data.queries, paper.data.train_images, paper.cutoff) == (5_000, 10_000, 5_000)
    assert (later.data.queries_per_class, later.data.train_per_class) == (100, 500)
    assert later.data.queries is None
    assert later.cutoff == 5_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes", "parts"),
    [
        (
            "nuswide",
            ("--queries", 8, "--train-images", 24),
            "24 train, 8 query, 96 database",
        ),
        (
            "nuswide_21",
            ("--queries-per-class", 1, "--train-per-class", 1),
            "21 train, 21 query, 81 database",
        ),
    ],
)
def test_a_run_trains_and_reports_its_map(root, tmp_path, capsys, name, sizes, parts):
    folder = tmp_path / "run"
    small = ("--backbone", "small_cnn", "--image-size", 8, "--bits", 12, "--steps", 3)
    run = ("--batch-size", 16, "--no-report", "--run-dir", folder)
    assert hashnet("train", "--dataset", name, "--image-root", root, *sizes, *small, *run) == 0
    assert parts in capsys.readouterr().out
    result = json.loads((folder / "result.json").read_text())
    assert result["map"]["cutoff"] == 5_000
    assert 0 < result["map"]["expected"] < 1
    assert json.loads((folder / "pictures.json").read_text())["names"] == list(NAMES)
