"""Folders of anyone's pictures: found, checked, split; and what must not stop a run."""

import json
import os

import numpy as np
import pytest
import run
from bad_pictures import bomb, jpeg, picture, write_bad, write_forbidden, write_good

from hashnet_jax.data.dataset import Options
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.data.folder import folder
from hashnet_jax.data.pictures import UnreadablePicture, find_pictures, read_picture
from hashnet_jax.data.sources import FileSource


@pytest.fixture
def root(tmp_path):
    """Two classes, cat of 10 and dog of 25 pictures, some nested deeper."""
    for name, count in {"cat": 10, "dog": 25}.items():
        deeper = tmp_path / "pictures" / name / "deeper"
        deeper.mkdir(parents=True)
        for i in range(count):
            where = deeper if i % 3 == 0 else deeper.parent
            (where / f"{i}.jpg").write_bytes(jpeg(i))
    return tmp_path / "pictures"


def load(root, **options):
    return folder(Options(image_root=str(root), **options))


def test_unusual_pictures_are_read_as_a_viewer_shows_them(tmp_path):
    for name, middle in write_good(tmp_path).items():
        image = read_picture(tmp_path / name)
        assert image.dtype == np.uint8, name
        assert image.shape[2:] == (3,), name
        if middle is not None:
            assert tuple(image[len(image) // 2, image.shape[1] // 2]) == middle, name
    assert read_picture(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_files_that_are_no_pictures_are_refused_with_a_reason_of_one_line(tmp_path):
    for name, reason in write_bad(tmp_path).items():
        with pytest.raises(UnreadablePicture) as error:
            read_picture(tmp_path / name)
        assert reason in str(error.value), name
        assert "\n" not in str(error.value)


def test_the_limit_of_pixels_is_that_at_which_pil_only_warns(tmp_path):
    (tmp_path / "large.png").write_bytes(bomb(10_000, 9_000))
    with pytest.raises(UnreadablePicture, match="more than 89,478,485 pixels"):
        read_picture(tmp_path / "large.png")


def test_a_picture_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    write_forbidden(tmp_path / "secret.jpg", monkeypatch)
    with pytest.raises(UnreadablePicture, match="permission denied"):
        read_picture(tmp_path / "secret.jpg")


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
    assert not skipped


def test_a_class_may_be_a_link_to_a_folder_elsewhere(root, tmp_path):
    (root / "dog").rename(tmp_path / "kept elsewhere")
    (root / "dog").symlink_to(tmp_path / "kept elsewhere")
    assert load(root).classes == ("cat", "dog")


def test_the_first_folder_is_the_class_and_a_tenth_of_each_class_is_asked_for(root):
    dataset = load(root)
    assert dataset.classes == ("cat", "dog")
    assert dataset.names[0] == "cat/1.jpg"
    assert "dog/deeper/0.jpg" in dataset.names
    for label, name in zip(dataset.labels, dataset.names, strict=True):
        assert name.startswith(dataset.classes[label])
    assert dataset.split.sizes() == {"train": 32, "query": 3, "database": 32, "validation": 0}
    assert np.bincount(dataset.labels[dataset.split.query]).tolist() == [1, 2]
    assert dataset.source[3].shape == (16, 20, 3)


def test_the_split_follows_its_seed_and_the_numbers_asked_for(root):
    first, again, other = (load(root, split_seed=seed).split for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.query, again.query)
    assert first.query.tolist() != other.query.tolist()
    numbers = {"queries_per_class": 2, "train_per_class": 5, "validation_per_class": 1}
    sizes = load(root, **numbers, train_in_database=False).split.sizes()
    assert sizes == {"train": 10, "query": 4, "database": 21, "validation": 2}
    assert load(root, validation_per_class=3).split.sizes()["validation"] == 6


def test_what_cannot_be_read_is_named_and_left_out(root):
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
    assert f"skipped {len(reasons)} that cannot be read" in notes
    assert "skipped cat/empty.jpg: empty (0 bytes)" in notes
    assert "of no class, left out: 1 (first: in no class.jpg)" in notes


def test_a_file_that_disappears_later_is_named(root):
    dataset = load(root)
    os.remove(root / dataset.names[0])
    with pytest.raises(OSError, match=r"cat/1\.jpg must be a picture .* no such file"):
        dataset.source[0]


def test_a_csv_file_says_labels_of_which_there_may_be_several(tmp_path):
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
    assert "pictures without label, left out: 1" in dataset.notes
    assert dataset.skipped == (("gone.png", "no such file or directory"),)


def test_a_csv_file_with_one_label_a_picture_is_split_by_class(root):
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
        ("a.jpg,x\na.jpg,y\n", "line 2: expected each picture once, got 'a.jpg' again"),
        ('"a.jpg,x\n', "line 1: unexpected end of data"),
        ("a.jpg,x\n", "at least one picture that can be read, got none of 1"),
        ("", "at least one picture that can be read, got none of 0"),
    ],
)
def test_a_csv_file_of_another_form_is_refused_by_line(tmp_path, rows, message):
    (tmp_path / "labels.csv").write_text(rows)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        folder(Options(csv=str(tmp_path / "labels.csv")))


def test_errors_say_what_a_folder_must_hold(root):
    with pytest.raises(ValueError, match=r"needs --image-root DIR .* or --csv FILE"):
        folder(Options())
    with pytest.raises(FileNotFoundError, match="--image-root must be a folder"):
        load(root / "none")
    with pytest.raises(ValueError, match="at least two classes"):
        load(root / "cat")
    (root / "owl").mkdir()
    (root / "owl" / "only.jpg").write_bytes(jpeg())
    with pytest.raises(ValueError, match=r"too few in 1 of 3: owl \(1\): add pictures, take"):
        load(root)
    (root / "owl" / "another.jpg").write_bytes(jpeg())
    with pytest.raises(ValueError, match="takes no --queries, got 5"):
        load(root, queries=5)
    with pytest.raises(ValueError, match="needs --train-per-class N"):
        load(root, queries_per_class=1, train_in_database=False)
    with pytest.raises(ValueError, match="digits takes no --csv"):
        DATASETS["digits"](Options(queries_per_class=20, csv="labels.csv"))


def test_a_run_on_a_folder_names_its_pictures_and_resumes_on_the_same_ones_only(
    root, tmp_path, capsys, monkeypatch
):
    # Trained and evaluated by tests/integration/test_folder_run.py, since compiling takes long.
    monkeypatch.setattr(run, "fit", lambda state, *args, **kwargs: (state, None))
    monkeypatch.setattr(run, "write_result", lambda *args, **kwargs: None)
    run_dir = tmp_path / "run"
    (root / "cat" / "empty.jpg").write_bytes(b"")
    argv = ["--dataset", "folder", "--image-root", str(root), "--run-dir", str(run_dir)]
    argv += ["--image-size", "8", "--bits", "12", "--batch-size", "8", "--steps", "4"]
    assert run.main([*argv, "--devices", "1"]) == 0
    assert "note: skipped cat/empty.jpg: empty (0 bytes)" in capsys.readouterr().out
    saved = json.loads((run_dir / "pictures.json").read_text())
    assert len(saved["names"]) == 35
    assert saved["skipped"] == [{"name": "cat/empty.jpg", "reason": "empty (0 bytes)"}]
    with np.load(run_dir / "split.npz") as split:
        asked = [saved["names"][i] for i in split["query"]]
    assert {name[:3] for name in asked} == {"cat", "dog"}

    (root / "dog" / "1.jpg").unlink()
    assert run.main([*argv, "--devices", "1", "--resume"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "must have the pictures that it began with, got 0 others and 1 gone" in error


def test_sources_of_files_read_the_same_pictures(tmp_path):
    picture(7).save(tmp_path / "a.png")
    np.testing.assert_array_equal(FileSource([tmp_path / "a.png"])[0], np.asarray(picture(7)))
