"""Tests the readers of files that may be damaged; more of them in tests/fuzz/test_parsers.py."""

import os

import pytest

from hashnet_jax.distributed.reading import DamagedFile, file_exists


@pytest.mark.parametrize(
    "make",
    [
        os.mkdir,
        os.mkfifo,
        lambda path: os.symlink("nowhere", path),
        lambda path: os.symlink(path, path),
    ],
    ids=["folder", "pipe", "broken link", "link to itself"],
)
def test_what_is_not_a_file_is_not_taken_for_a_missing_file(make, tmp_path):
    path = tmp_path / "result.json"
    assert not file_exists(path, "a result", "restore it")
    make(path)
    with pytest.raises(DamagedFile, match=r"result.json .*\(it is not a regular file\)"):
        file_exists(path, "a result", "restore it")


def test_a_file_or_a_link_to_one_exists(tmp_path):
    (tmp_path / "file").touch()
    os.symlink("file", tmp_path / "link")
    assert file_exists(tmp_path / "file", "", "")
    assert file_exists(tmp_path / "link", "", "")
