"""Tests for the pictures that files, folders and globs stand for."""

import os

from hashnet_jax.index import expand, list_pictures
from tests.support.bad_pictures import jpeg
from tests.support.cli_case import make_pictures


def listed(*arguments):
    """Lists pictures; returns their paths, and the reasons by path of those passed over."""
    skipped = {}
    return list(list_pictures(expand(arguments), skipped.__setitem__)), skipped


def test_files_folders_and_globs_are_listed_once_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "a", 3)
    make_pictures(tmp_path / "b", 3)
    (tmp_path / "no suffix").write_bytes(jpeg())
    found, skipped = listed(
        "b", "b/0001.png", "a/*1.png", "**/0002.png", "no suffix", "./no suffix"
    )
    assert [os.path.relpath(path, tmp_path) for path in found] == [
        "b/0000.png", "b/0001.png", "b/0002.png", "a/0001.png", "a/0002.png", "no suffix"
    ]  # fmt: skip
    assert not skipped


def test_named_files_are_listed_and_files_passed_over_in_folders_are_named(tmp_path):
    mix = make_pictures(tmp_path / "mix", 1)
    make_pictures(mix / "sub", 1)
    for name in ("noext", ".hidden", "photo.heic"):
        (mix / name).write_bytes((mix / "0000.png").read_bytes())
    make_pictures(mix / ".folder", 1)
    (mix / "notes.doc").write_text("no picture")
    named = [mix / "noext", mix / ".hidden", mix / "photo.heic", mix / "0000.png"]
    found, skipped = listed(*named[:2], mix, mix / "sub", mix / ".folder", *named[2:])
    inner = [mix / "sub" / "0000.png", mix / ".folder" / "0000.png"]
    assert sorted(found) == sorted(map(str, named + inner))
    assert sorted(skipped) == [str(mix / ".folder"), str(mix / "notes.doc")]

    found, skipped = listed(mix)
    assert sorted(found) == [str(mix / "0000.png"), str(mix / "sub" / "0000.png")]
    names = ("noext", ".hidden", "photo.heic", "notes.doc", ".folder")
    assert skipped.keys() == {str(mix / name) for name in names}


def test_a_folder_that_contains_itself_is_listed_once(tmp_path):
    make_pictures(tmp_path / "pictures", 2)
    (tmp_path / "pictures" / "loop").symlink_to(tmp_path / "pictures")
    found, _ = listed(tmp_path / "pictures")
    assert [os.path.basename(path) for path in found] == ["0000.png", "0001.png"]
