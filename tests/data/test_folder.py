"""Tests data sets made from the user's own pictures, including unreadable ones."""

import json
import os

import numpy as np
import pytest

from hashnet_jax.cli import _training, main
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data.folder import load as folder
from hashnet_jax.data.pictures import find_pictures
from tests.support.bad_pictures import jpeg, picture, write_bad, write_good


@pytest.fixture
def root(tmp_path):
    """Returns a folder with 10 cat and 25 dog pictures, some in nested subfolders."""
    for name, count in {"cat": 10, "dog": 25}.items():
        deeper = tmp_path / "pictures" / name / "deeper"
        deeper.mkdir(parents=True)
        for i in range(count):
            where = deeper if i % 3 == 0 else deeper.parent
            (where / f"{i}.jpg").write_bytes(jpeg(i))
    return tmp_path / "pictures"


def load(root, **options):
    return folder(Options(image_root=str(root), **options))


def test_links_are_followed_but_each_folder_is_entered_once(root):
    (root / "cat" / "loop").symlink_to(root)
    (root / "dog" / "loop").symlink_to(root / "dog")
    (root / "a link to cat").symlink_to(root / "cat")
    (root / "elsewhere").mkdir()
    (root / "cat" / ".hidden.jpg").write_bytes(jpeg())
    (root / "cat" / "notes.txt").write_text("no picture")
    skipped = []
    found = list(find_pictures(root, lambda *what: skipped.append(what)))
    assert len(found) == 35
    assert not any("loop" in path or "link to" in path for path in found)
    assert sorted(skipped) == [
        (str(root / "cat" / ".hidden.jpg"), "hidden file"),
        (str(root / "cat" / "notes.txt"), "not the suffix of a picture: .txt"),
    ]


def test_a_class_may_be_a_link_to_a_folder_elsewhere(root, tmp_path):
    (root / "dog").rename(tmp_path / "kept elsewhere")
    (root / "dog").symlink_to(tmp_path / "kept elsewhere")
    assert load(root).classes == ("cat", "dog")


def test_the_first_folder_is_the_class_and_a_tenth_of_each_class_are_queries(root):
    dataset = load(root)
    assert dataset.classes == ("cat", "dog")
    assert dataset.names[0] == "cat/1.jpg"
    assert "dog/deeper/0.jpg" in dataset.names
    for label, name in zip(dataset.labels, dataset.names, strict=True):
        assert name.startswith(dataset.classes[label])
    assert dataset.split.sizes() == {"train": 32, "query": 3, "database": 32, "validation": 0}
    assert np.bincount(dataset.labels[dataset.split.query]).tolist() == [1, 2]
    assert dataset.source[3].shape == (16, 20, 3)


def test_the_split_follows_its_seed_and_the_requested_numbers(root):
    first, again, other = (load(root, split_seed=seed).split for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.query, again.query)
    assert first.query.tolist() != other.query.tolist()
    numbers = {"queries_per_class": 2, "train_per_class": 5, "validation_per_class": 1}
    sizes = load(root, **numbers, train_in_database=False).split.sizes()
    assert sizes == {"train": 10, "query": 4, "database": 21, "validation": 2}
    assert load(root, validation_per_class=3).split.sizes()["validation"] == 6


def test_unreadable_pictures_are_named_and_left_out(root):
    reasons = write_bad(root / "cat")
    good = write_good(root / "cat")
    (root / "in no class.jpg").write_bytes(jpeg())
    dataset = load(root)
    assert len(dataset.names) == 35 + len(good)
    skipped = dict(dataset.skipped)
    assert skipped.keys() == {f"cat/{name}" for name in reasons}
    for name, reason in reasons.items():
        assert reason in skipped[f"cat/{name}"]
    notes = "\n".join(dataset.notes)
    assert f"unreadable pictures skipped: {len(reasons)}" in notes
    assert "skipped cat/empty.jpg: empty (0 bytes)" in notes
    assert "pictures left out (not in a subfolder): 1 (first: in no class.jpg)" in notes


def test_a_file_that_disappears_later_is_named(root):
    dataset = load(root)
    os.remove(root / dataset.names[0])
    with pytest.raises(OSError, match=r"cannot read the picture .*cat/1\.jpg \(no such file"):
        dataset.source[0]


def test_a_csv_file_gives_each_picture_any_number_of_labels(tmp_path):
    (tmp_path / "with space").mkdir()
    for i in range(10):
        picture(i).save(tmp_path / "with space" / f"{i}, é.png")
    rows = [f'"with space/{i}, é.png",sea; sand' for i in range(8)]
    rows += ['"with space/8, é.png",sky', '"with space/9, é.png",', "gone.png,sea"]
    (tmp_path / "labels.csv").write_text("\ufeffpath,labels\r\n" + "\r\n".join(rows), "utf-8")
    dataset = folder(Options(csv=str(tmp_path / "labels.csv")))
    assert dataset.classes == ("sand", "sea", "sky")
    assert dataset.labels.tolist() == [[1, 1, 0]] * 8 + [[0, 0, 1], [0, 0, 0]]
    assert dataset.split.sizes() == {"train": 8, "query": 1, "database": 8, "validation": 0}
    assert "unlabelled pictures left out: 1" in dataset.notes
    assert dataset.skipped == (("gone.png", "no such file or directory"),)


def test_a_csv_file_with_one_label_per_picture_is_split_by_class(root):
    names = [f"cat/{i}.jpg" for i in (1, 2, 4)] + [f"dog/{i}.jpg" for i in (1, 2, 4)]
    file = root.parent / "labels.csv"
    file.write_text("".join(f"{name},{name[:3]}\n" for name in names))
    dataset = load(root, csv=str(file), queries_per_class=1)
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.split.sizes()["query"] == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.jpg,x,y\n", r"line 1: expected `path,label1;label2`, got \['a.jpg', 'x', 'y'\]"),
        ("a.jpg,x\nb.jpg\n", "line 2: expected `path,label1;label2`"),
        ("a.jpg,x\n./a.jpg,y\n", r"line 2: the labels of './a.jpg' differ from .* line 1, which"),
        ("a.jpg,x\na\0b.jpg,x\n", "line 2: it contains a NUL character; save the file as UTF-8"),
        ("a.jpg,x\n  ,x\n", r"line 2: expected `path,label1;label2`, got \['  ', 'x'\]"),
        ('"a.jpg,x\n', "line 1: unexpected end of data"),
        ("a.jpg,x\n", r"at least one readable picture, but contains none \(1 files skipped\)"),
        ("", r"at least one readable picture, but contains none \(0 files skipped\)"),
    ],
)
def test_a_malformed_csv_file_is_rejected_naming_its_lines(tmp_path, rows, message):
    (tmp_path / "labels.csv").write_text(rows)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        folder(Options(csv=str(tmp_path / "labels.csv")))


def test_spaces_around_a_path_in_a_csv_file_are_stripped_unless_the_file_name_has_them(tmp_path):
    for name in ("a.png", "b.png", "c.png", " d.png"):
        picture().save(tmp_path / name)
    rows = "path,labels\na.png, x\nb.png , x\n c.png , y\n d.png,y\n"
    (tmp_path / "labels.csv").write_text(rows)
    dataset = folder(Options(csv=str(tmp_path / "labels.csv"), queries_per_class=1))
    assert dataset.names == (" d.png", "a.png", "b.png", "c.png")
    assert dataset.labels.tolist() == [1, 0, 0, 1]
    assert dataset.skipped == ()


def test_a_picture_under_two_paths_in_a_csv_file_is_one_picture(tmp_path):
    (tmp_path / "sub").mkdir()
    for i in range(4):
        picture(i).save(tmp_path / f"{i}.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "3.png")
    paths = ["0.png", "./0.png", "1.png", f"{tmp_path}/1.png", "2.png", "sub/../2.png", "3.png"]
    rows = [f"{path},{'xxxxyyyy'[i]}\n" for i, path in enumerate([*paths, "link.png"])]
    (tmp_path / "labels.csv").write_text("".join(rows))
    dataset = folder(Options(csv=str(tmp_path / "labels.csv"), queries_per_class=1))
    assert dataset.names == ("0.png", "1.png", "2.png", "3.png")
    assert dataset.notes == ("lines that repeat a picture listed earlier: 4",)


def test_a_csv_file_stays_multi_label_if_its_only_picture_with_two_labels_is_unreadable(tmp_path):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.png")
    (tmp_path / "0.png").write_bytes(b"damaged")
    rows = ["0.png,x;y\n", *(f"{i}.png,{'xy'[i % 2]}\n" for i in range(1, 6))]
    (tmp_path / "labels.csv").write_text("".join(rows))
    dataset = folder(Options(csv=str(tmp_path / "labels.csv"), queries=1))
    assert dataset.labels.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1]]


def test_the_reasons_for_skipping_pictures_are_shown_before_an_error_that_follows(tmp_path):
    for i in range(3):
        picture(i).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("0.png,x\n1.png,y\n2.png,y\n3.png,y\n")
    with pytest.raises(ValueError, match="too few in 2 of 2 classes") as error:
        folder(Options(csv=str(tmp_path / "labels.csv")))
    assert str(error.value).splitlines()[:3] == [
        "unreadable pictures skipped: 2 (full list in pictures.json)",
        "skipped 2.png: empty (0 bytes)",
        "skipped 3.png: no such file or directory",
    ]


def test_a_class_without_readable_pictures_and_all_files_passed_over_are_reported(root):
    for i in range(4):
        (root / "owl").mkdir(exist_ok=True)
        (root / "owl" / f"{i}.HEIC").write_bytes(b"heic")
    (root / "empty").mkdir()
    (root / ".cache").mkdir()
    (root / "cat" / "notes.txt").write_text("no picture")
    dataset = load(root)
    assert dataset.classes == ("cat", "dog")
    assert dataset.notes == (
        "class 'empty' is left out: it has no readable pictures",
        "class 'owl' is left out: it has no readable pictures",
        "passed over (hidden folder): 1 (.cache)",
        "passed over (not the suffix of a picture: .txt): 1 (cat/notes.txt)",
        "passed over (HEIC is not supported; convert it to JPEG or PNG): 4 "
        "(owl/0.HEIC, owl/1.HEIC, owl/2.HEIC and 1 more)",
    )
    assert len(dataset.skipped) == 6
    heic = "HEIC is not supported; convert it to JPEG or PNG"
    assert ("owl/3.HEIC", heic) in dataset.skipped


def test_names_of_any_bytes_are_preserved_and_printed_escaped(root):
    latin = os.fsdecode(b"caf\xe9")
    (root / latin).mkdir()
    for i in range(3):
        (root / latin / f"{i}\x1b[31m.jpg").write_bytes(jpeg(i))
    (root / latin / "bad\u202egpj.jpg").write_bytes(b"")
    dataset = load(root)
    assert latin in dataset.classes
    assert f"{latin}/0\x1b[31m.jpg" in dataset.names
    assert json.loads(json.dumps(dataset.names)) == list(dataset.names)
    assert dict(dataset.skipped) == {f"{latin}/bad\u202egpj.jpg": "empty (0 bytes)"}
    assert r"skipped caf\xe9/bad\u202egpj.jpg: empty (0 bytes)" in dataset.notes


def test_errors_name_the_parameter_and_its_requirement(root):
    with pytest.raises(ValueError, match=r"requires `image_root` .* or a `csv` file"):
        folder(Options())
    with pytest.raises(FileNotFoundError, match="`image_root` must be an existing folder"):
        load(root / "none")
    with pytest.raises(ValueError, match="at least two classes"):
        load(root / "cat")
    (root / "owl").mkdir()
    (root / "owl" / "only.jpg").write_bytes(jpeg())
    message = r"too few in 1 of 3 classes: owl \(1\). Add pictures, remove"
    with pytest.raises(ValueError, match=message):
        load(root)
    (root / "owl" / "another.jpg").write_bytes(jpeg())
    with pytest.raises(ValueError, match="`queries` does not apply to folder, but is set to 5"):
        load(root, queries=5)
    with pytest.raises(ValueError, match="`train_in_database=False` requires `train_per_class`"):
        load(root, queries_per_class=1, train_in_database=False)
    with pytest.raises(ValueError, match="`csv` does not apply to digits"):
        DATASETS["digits"](Options(queries_per_class=20, csv="labels.csv"))


def test_pictures_outside_subfolders_are_an_error_that_says_where_to_put_them(tmp_path):
    for name in ("b.png", "a.png"):
        picture().save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    message = (
        r"`image_root` must contain one subfolder per class, but .* contains 2 pictures directly "
        r"\(first: a\.png\) and none in subfolders. Move them into folders named .* `csv` file"
    )
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="at least one readable picture, but contains none"):
        load(tmp_path)


@pytest.mark.slow
def test_a_run_on_a_folder_names_its_pictures_and_resumes_only_with_the_same_ones(
    root, tmp_path, capsys, monkeypatch
):
    # Trained and evaluated by tests/integration/test_folder_run.py, since compiling takes long.
    monkeypatch.setattr(_training, "fit", lambda state, *args, **kwargs: (state, None))
    monkeypatch.setattr(_training, "write_result", lambda *args, **kwargs: None)
    run_dir = tmp_path / "run"
    (root / "cat" / "empty.jpg").write_bytes(b"")
    argv = ["train", "--dataset", "folder", "--image-root", str(root), "--run-dir", str(run_dir)]
    argv += ["--image-size", "8", "--bits", "12", "--batch-size", "8", "--steps", "4"]
    argv += ["--devices", "1", "--no-report"]
    assert main(argv) == 0
    assert "note: skipped cat/empty.jpg: empty (0 bytes)" in capsys.readouterr().out
    saved = json.loads((run_dir / "pictures.json").read_text())
    assert len(saved["names"]) == 35
    assert saved["skipped"] == [{"name": "cat/empty.jpg", "reason": "empty (0 bytes)"}]
    with np.load(run_dir / "split.npz") as split:
        queries = [saved["names"][i] for i in split["query"]]
    assert {name[:3] for name in queries} == {"cat", "dog"}

    (root / "dog" / "1.jpg").unlink()
    assert main([*argv, "--resume"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the pictures have changed since the run started (0 added, 1 removed;" in error
