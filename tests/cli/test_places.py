"""Tests that a run finds its data after a move, and accepts no other data in its place."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.cli import _places
from hashnet_jax.configs import CONFIGS, Config
from hashnet_jax.distributed.seals import unsealed
from tests.support.cli_case import hashnet

ONE = ("--devices", 1)
SMALL = ("--bits", 12, "--image-size", 8, "--batch-size", 4, "--steps", 4, "--no-report", *ONE)


def write_pictures(folder, *, seed=0):
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(12):
        name = f"pics/{number}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / name)
        lines.append(f"{name},{'ab'[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def moved(trained, tmp_path, monkeypatch):
    """A run on a CSV file, interrupted and then moved with its data; the current folder differs."""
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    for folder in (first, other):
        folder.mkdir()
    write_pictures(first)
    monkeypatch.chdir(first)
    assert hashnet("train", "--dataset", "folder", "--csv", "labels.csv", "--run-dir", "run",
                   *SMALL) == 0  # fmt: skip
    (first / "run" / "result.json").unlink()
    first.rename(second)
    monkeypatch.chdir(other)
    return second


def resume(folder, *args):
    return hashnet("train", "--run-dir", folder / "run", "--resume", "--no-report", *ONE, *args)


def saved_config(folder):
    return unsealed(json.loads((folder / "run" / "config.json").read_text()))


def test_a_run_that_was_moved_with_its_data_finds_it(moved):
    before = saved_config(moved)
    assert resume(moved) == 0
    after = saved_config(moved)
    assert after["data"]["csv"] == str(moved / "labels.csv")
    assert _places.run_identity(after) == _places.run_identity(before)
    # Moved once more, after the config contains an absolute path.
    third = moved.rename(moved.with_name("third"))
    (third / "run" / "result.json").unlink()
    assert resume(third) == 0


def test_the_location_of_the_data_can_be_passed_again(moved, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("labels.csv", "pics"):
        (moved / name).rename(data / name)
    assert resume(moved) == 1
    assert "there is none at labels.csv" in capsys.readouterr().err
    assert resume(moved, "--csv", data / "labels.csv") == 0
    (moved / "run" / "result.json").unlink()
    assert resume(moved) == 0, "the new place was saved"


def test_different_labels_at_the_location_are_rejected(moved, capsys):
    path = moved / "labels.csv"
    path.write_text(path.read_text().replace("0.png,a", "0.png,b"))
    assert resume(moved) == 1
    error = capsys.readouterr().err
    assert "the data has changed since the run started" in error
    assert f"does not match {moved / 'run' / 'split.npz'}" in error
    path.write_text(path.read_text().replace(",a", ",c").replace("0.png,b", "0.png,c"))
    assert resume(moved, "--csv", path) == 1
    error = capsys.readouterr().err
    assert f"the classes must be ['a', 'b'], as in {moved / 'run' / 'pictures.json'}" in error
    path.write_text(path.read_text().replace(",c", ",a").replace("pics/11.png,b\n", ""))
    assert resume(moved) == 1
    assert "(0 added, 1 removed; 'pics/11.png' was removed;" in capsys.readouterr().err


def test_different_pictures_with_the_same_names_are_rejected(moved, capsys):
    write_pictures(moved, seed=1)
    assert resume(moved) == 1
    error = capsys.readouterr().err
    assert "the content of the images has changed since the run started" in error
    assert str(moved / "run" / "data.json") in error
    write_pictures(moved)
    assert resume(moved) == 0


def test_a_damaged_data_json_is_named(moved, capsys):
    path = moved / "run" / "data.json"
    content = path.read_text()
    for damaged in ("null", "[]", content[:50], content.replace('"hashed_images": 12', '"a": 1')):
        path.write_text(damaged)
        assert resume(moved) == 1
        assert f"{path} is damaged or not" in capsys.readouterr().err


def test_without_data_json_a_note_says_that_the_images_are_not_checked(moved, monkeypatch, capsys):
    (moved / "run" / "data.json").unlink()
    monkeypatch.setattr("hashnet_jax.cli._checks.has_checkpoint", lambda folder: True)
    monkeypatch.chdir(moved)
    assert resume(moved) == 0
    assert "so changes to the images since the run started cannot be detected" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
def test_the_files_of_a_finished_run_are_checked_before_it_is_shown(moved, capsys):
    assert resume(moved) == 0
    for name in ("model.npz", "config.json", "split.npz", "pictures.json"):
        path = moved / "run" / name
        content = path.read_bytes()
        for damaged in (None, content[:-30], content.replace(content[60:64], bytes(4), 1)):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            capsys.readouterr()
            assert resume(moved) == 1
            printed = capsys.readouterr()
            assert "already finished" not in printed.out
            assert name in printed.err
            path.write_bytes(content)
    assert resume(moved) == 0


def test_a_finished_run_from_version_0_1_is_shown_with_a_note(moved, capsys):
    assert resume(moved) == 0
    path = moved / "run" / "result.json"
    result = json.loads(path.read_text())
    del result["files"], result["sha256"]
    path.write_text(json.dumps(result))
    assert resume(moved) == 0
    printed = capsys.readouterr().out
    assert "already finished" in printed
    assert "note: This run was written by version 0.1" in printed


def test_a_report_finds_the_data_of_a_run_that_was_moved(moved):
    located = _places.read_located_config(moved / "run")
    assert located.data.csv == str(moved / "labels.csv")
    assert Config.read(moved / "run" / "config.json").data.csv == "labels.csv"


def test_paths_are_tried_where_the_run_started_then_beside_the_run_then_here(tmp_path, monkeypatch):
    config = CONFIGS["folder"]
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, image_root="pics"))
    start, now = tmp_path / "start", tmp_path / "now"
    saved = {"working_folder": str(start), "run_folder": str(start / "runs" / "a")}
    monkeypatch.chdir(tmp_path)

    def find():
        return _places.located(config, saved, now / "runs" / "a").data.image_root

    assert find() == "pics", "unchanged if it is nowhere"
    (tmp_path / "pics").mkdir()
    assert find() == "pics"
    (now / "pics").mkdir(parents=True)
    assert find() == str(now / "pics")
    (start / "pics").mkdir(parents=True)
    assert find() == str(start / "pics")
    assert _places.located(config, {}, now).data.image_root == "pics"


def test_the_identity_of_a_run_depends_on_everything_except_paths():
    content = CONFIGS["folder"].to_json()
    identity = _places.run_identity(content)
    moved = content | {"data": content["data"] | {"csv": "b.csv", "image_root": "/c"}}
    assert _places.run_identity(moved) == identity
    assert _places.run_identity(content | {"seed": 1}) != identity
    assert _places.run_identity(content | {"pretrained": "a.pth"}) != identity
    weights = content | {"pretrained": "a.pth", "pretrained_sha256": "0"}
    assert _places.run_identity(weights | {"pretrained": "b/a.pth"}) == (
        _places.run_identity(weights)
    )
