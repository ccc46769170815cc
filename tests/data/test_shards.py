"""Tests pictures in Parquet and tar files: labels, access by index, damage and the cache."""

import io
import json
import os
import pickle
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashnet_jax.data import DATASETS, Options, _parquet_shards, _tar_shards
from hashnet_jax.data.sources import decode
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.imagenet_miniature import jpeg
from tests.support.cli_case import hashnet

N = 30
LABELS = [i % 3 for i in range(N)]
LISTS = [[i % 3, 3] if i % 2 else [i % 3] for i in range(N)]
LISTS[4] = []
NAMES = ["ant", "bee", "cat"]


def write_parquet(root, labels=LABELS, features=None, column="label", files=2):
    """Writes files as the Hub does, in groups of 4 rows."""
    (root / "data").mkdir(parents=True)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    for file in range(files):
        rows = range(file * N // files, (file + 1) * N // files)
        table = pa.table(
            {
                "image": [{"bytes": jpeg(i), "path": f"{i}.jpg"} for i in rows],
                column: [labels[i] for i in rows],
            }
        ).replace_schema_metadata(metadata)
        path = root / "data" / f"train-{file:05}-of-{files:05}.parquet"
        pq.write_table(table, path, row_group_size=4)
    return root


def write_tar(root, labels=LABELS, files=2):
    """Writes shards as WebDataset does; labels that are lists are in JSON."""
    root.mkdir(parents=True)
    for file in range(files):
        with tarfile.open(root / f"train-{file:04}.tar", "w") as tar:
            for i in range(file * N // files, (file + 1) * N // files):
                is_list = isinstance(labels[i], list)
                label = json.dumps({"label": labels[i]}) if is_list else f"{labels[i]}\n"
                add(tar, f"{i:04}.{'json' if is_list else 'cls'}", label.encode())
                add(tar, f"{i:04}.JPG", jpeg(i))
                add(tar, f"{i:04}.txt", b"a caption")
    return root


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hashnet_jax"


@pytest.fixture(params=[write_parquet, write_tar])
def write(request):
    return request.param


def load(root, **options):
    return DATASETS["shards"](Options(image_root=str(root), **options))


def test_pictures_are_read_by_index_in_any_order(write, tmp_path):
    source = pickle.loads(pickle.dumps(load(write(tmp_path / "shards")).source))
    assert len(source) == N
    for i in np.random.default_rng(0).permutation(N):
        np.testing.assert_array_equal(source[i], decode(jpeg(int(i))))
        assert source.squashed(i, 5).shape == (5, 5, 3)
    assert len({source.digest(i) for i in range(N)}) == N


def test_class_ids_are_split_by_class(write, tmp_path):
    dataset = load(write(tmp_path / "shards"), queries_per_class=2, validation_per_class=1)
    assert dataset.labels.tolist() == LABELS
    assert dataset.classes == ("0", "1", "2")
    assert dataset.split.sizes() == {"train": 21, "query": 6, "database": 24, "validation": 3}
    assert dataset.notes == ()
    assert len(set(dataset.names)) == N


def test_lists_of_class_ids_are_multi_hot_labels(write, tmp_path):
    dataset = load(write(tmp_path / "shards", LISTS), queries=5)
    assert [np.flatnonzero(row).tolist() for row in dataset.labels] == LISTS
    assert dataset.split.sizes() == {"train": 24, "query": 5, "database": 24, "validation": 0}
    assert dataset.notes == ("unlabelled pictures left out: 1",)


def test_pictures_whose_class_is_minus_one_are_left_out(write, tmp_path):
    labels = [-1, *LABELS[1:-1], -1]
    dataset = load(write(tmp_path / "shards", labels))
    assert dataset.labels.tolist() == LABELS[1:-1]
    assert dataset.notes == ("unlabelled pictures left out: 2",)
    np.testing.assert_array_equal(dataset.source[0], decode(jpeg(1)))
    assert len(dataset.source) == len(dataset.names) == N - 2


def test_names_tell_where_a_picture_is(tmp_path):
    parquet = load(write_parquet(tmp_path / "parquet")).names
    assert parquet[0] == "data/train-00000-of-00002.parquet, row 0"
    assert parquet[N - 1] == f"data/train-00001-of-00002.parquet, row {N // 2 - 1}"
    tar = load(write_tar(tmp_path / "tar")).names
    assert tar[N - 1] == f"train-0001.tar/{N - 1:04}.JPG"


@pytest.mark.parametrize(
    ("labels", "feature"),
    [
        (LABELS, {"names": NAMES, "_type": "ClassLabel"}),
        ([[i] for i in LABELS], {"feature": {"names": NAMES}, "_type": "List"}),
        ([[i] for i in LABELS], [{"names": NAMES, "_type": "ClassLabel"}]),
    ],
)
def test_the_schema_of_parquet_files_names_the_classes(tmp_path, labels, feature):
    dataset = load(write_parquet(tmp_path / "hub", labels, {"label": feature}))
    assert dataset.classes == tuple(NAMES)


def test_classes_without_names_are_numbered(tmp_path):
    features = {"label": {"dtype": "int64", "_type": "Value"}}
    dataset = load(write_parquet(tmp_path / "hub", LABELS, features, "label"))
    assert dataset.classes == ("0", "1", "2")
    assert load(write_parquet(tmp_path / "b", LABELS, column="labels")).classes == ("0", "1", "2")


def test_groups_of_rows_are_read_once_as_long_as_they_fit_in_memory(tmp_path, monkeypatch):
    source = load(write_parquet(tmp_path / "hub")).source
    kept = _parquet_shards._KeptGroups()
    monkeypatch.setattr(_parquet_shards, "_kept_groups", kept)
    opened = []
    whole = pq.ParquetFile

    def count(path, **options):
        opened.append(path)
        return whole(path, **options)

    monkeypatch.setattr(_parquet_shards.pq, "ParquetFile", count)
    for _ in range(2):
        for i in range(N):
            source.digest(i)
    assert len(opened) == 8
    monkeypatch.setattr(_parquet_shards, "_kept_groups", _parquet_shards._KeptGroups())
    monkeypatch.setattr(_parquet_shards, "MAX_KEPT_BYTES", kept._size() // 2)
    for _ in range(2):
        for i in range(N):
            source.digest(i)
    assert len(opened) == 8 + 2 * 8
    np.testing.assert_array_equal(source[N - 1], decode(jpeg(N - 1)))


def test_large_groups_of_rows_are_noted_if_they_do_not_fit_in_memory(tmp_path, monkeypatch):
    root = write_parquet(tmp_path / "hub")
    monkeypatch.setattr(_parquet_shards, "LARGE_GROUP_BYTES", 100)
    assert load(root).notes == ()
    monkeypatch.setattr(_parquet_shards, "MAX_KEPT_BYTES", 1_000)
    (note,) = load(root).notes
    assert "read together with its group of rows, 0 MB on average" in note
    assert "row_group_size=100" in note


def test_tar_files_are_indexed_once_until_they_change(tmp_path, cache, monkeypatch):
    root = write_tar(tmp_path / "shards")
    first = load(root)
    assert len(list(cache.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(_tar_shards, "_samples", None)
        second = load(root)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.names == second.names
    np.testing.assert_array_equal(second.source[7], decode(jpeg(7)))
    path = root / "train-0001.tar"
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"2\n", b"0\n"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert load(root).labels.tolist() == [
        0 if label == 2 and i >= N // 2 else label for i, label in enumerate(LABELS)
    ]


def test_without_a_cache_folder_tar_files_are_indexed_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(_tar_shards, "cache_folder", lambda: None)
    root = write_tar(tmp_path / "shards")
    np.testing.assert_array_equal(load(root).labels, load(root).labels)


def test_a_truncated_file_is_named(write, tmp_path):
    root = write(tmp_path / "shards")
    path = sorted(path for path in root.rglob("*") if path.is_file())[-1]
    whole = path.read_bytes()
    for size in (len(whole) // 2, 100, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFile, match=f"{path} is damaged .* Download it again"):
            load(root)


def test_a_file_that_is_damaged_later_is_named_when_it_is_read(write, tmp_path):
    root = write(tmp_path / "shards")
    source = load(root).source
    path = sorted(path for path in root.rglob("*") if path.is_file())[-1]
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DamagedFile, match=f"{path} is damaged"):
        source[N - 1]


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    root = tmp_path / "shards"
    root.mkdir()
    with tarfile.open(root / "a.tar", "w") as tar:
        for i in range(4):
            add(tar, f"{i}.cls", f"{i % 2}".encode())
            add(tar, f"{i}.png", b"no picture")
    source = load(root).source
    for read in (lambda: source[3], lambda: source.squashed(3, 4)):
        with pytest.raises(OSError, match=r"cannot read the picture a\.tar/3\.png \(not a picture"):
            read()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.jpg": b"", "2.cls": b"0"}, r"1 must have one picture and its label in \.cls or .*jpg"),
        ({"1.jpg": b"", "1.png": b"", "1.cls": b"0"}, "1 must have one picture and its label"),
        ({"1.jpg": b"", "1.cls": b"dog"}, r"1\.cls must contain a class id, .* contains dog"),
        ({"1.jpg": b"", "1.json": b'{"name": 1}'}, r"1\.json must contain a class id"),
        ({"1.jpg": b"", "1.json": b'{"label": [1.5]}'}, r"1\.json must contain a class id"),
        ({"1.jpg": b"", "1.json": b"{"}, r"1\.json must contain a class id"),
        ({"1.txt": b"a", ".hidden.jpg": b""}, "it contains no pictures"),
        ({"1.jpg": b"", "1.JPG": b"", "1.cls": b"0"}, r"it contains 1\.JPG twice"),
    ],
)
def test_samples_that_are_not_whole_are_named(tmp_path, members, message):
    root = tmp_path / "shards"
    root.mkdir()
    with tarfile.open(root / "a.tar", "w") as tar:
        for name, content in members.items():
            add(tar, name, content)
    with pytest.raises(DamagedFile, match=rf"a\.tar is damaged .*{message}"):
        load(root)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 1]}, "one column of pictures, .* but has the columns label"),
        ({"image": [{"bytes": b""}] * 2, "class": [0, 1]}, "has the columns image, class"),
        ({"image": [{"bytes": b""}] * 2, "label": ["a", "b"]}, "must be class ids .* are string"),
    ],
)
def test_parquet_files_without_pictures_or_class_ids_are_named(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DamagedFile, match=rf"a\.parquet is damaged .*{message}"):
        load(tmp_path)


def test_a_picture_stored_only_as_a_path_is_named(tmp_path):
    image = [{"bytes": None if i == 3 else jpeg(i), "path": "x.jpg"} for i in range(6)]
    pq.write_table(pa.table({"image": image, "label": [0, 1] * 3}), tmp_path / "a.parquet")
    source = load(tmp_path).source
    with pytest.raises(DamagedFile, match="row 3 has no bytes, only a path"):
        source[3]
    with pytest.raises(IndexError):
        source[6]


def test_files_of_different_data_sets_are_refused(tmp_path):
    root = write_parquet(tmp_path / "hub", LABELS, {"label": {"names": NAMES}})
    other = write_parquet(tmp_path / "other", LABELS, files=1)
    (other / "data" / "train-00000-of-00001.parquet").rename(root / "z.parquet")
    with pytest.raises(ValueError, match=r"same columns and classes, but z\.parquet differs from"):
        load(root)
    write_tar(root / "tars")
    with pytest.raises(ValueError, match=r"contains both .*\.parquet and .*\.tar"):
        load(root)


def test_labels_without_two_classes_or_beyond_the_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least two classes .* has labels of 1 classes"):
        load(write_parquet(tmp_path / "one", [0] * N))
    features = {"label": {"names": NAMES[:2]}}
    with pytest.raises(ValueError, match="the largest is 2, and 2 names"):
        load(write_parquet(tmp_path / "names", LABELS, features))


def test_a_folder_without_shards_and_options_that_do_not_apply_are_named(tmp_path):
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(FileNotFoundError, match=r"has no such files; it contains a\.tar\.gz\. Dec"):
        load(tmp_path)
    with pytest.raises(ValueError, match="shards requires `image_root`"):
        DATASETS["shards"](Options())
    with pytest.raises(ValueError, match="`csv` does not apply to shards"):
        load(tmp_path, csv="x")
    root = write_tar(tmp_path / "shards")
    with pytest.raises(ValueError, match="`queries` does not apply to shards"):
        load(root, queries=2)


@pytest.mark.slow
def test_a_run_trains_on_shards_and_reports_its_map(write, tmp_path, capsys):
    root, folder = write(tmp_path / "shards"), tmp_path / "run"
    small = ("--backbone", "small_cnn", "--image-size", 8, "--bits", 12, "--steps", 3)
    run = ("--batch-size", 16, "--no-report", "--run-dir", folder)
    assert hashnet("train", "--dataset", "shards", "--image-root", root, *small, *run) == 0
    assert "27 train, 3 query, 27 database" in capsys.readouterr().out
    assert 0 < json.loads((folder / "result.json").read_text())["map"]["expected"] <= 1
