"""Tests atomic writes, and locks that allow one writer at a time."""

import errno
import hashlib
import os
import subprocess
import sys

import pytest

from hashnet_jax.distributed.files import exclusive_lock, remove_folder, sha256, write_whole
from tests.support.two_processes import ROOT


def test_a_file_is_replaced_atomically_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        write_whole(path, lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
    assert sha256(path) == hashlib.sha256(b"second").hexdigest()


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_and_the_name_of_a_file_are_flushed_to_disk(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def note(descriptor):
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    path = tmp_path / "file"
    write_whole(path, lambda file: file.write(b"content"))
    assert flushed == [path.stat().st_ino, tmp_path.stat().st_ino]


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path):
    path = tmp_path / ".lock"
    with (
        exclusive_lock(path, "busy"),
        pytest.raises(BlockingIOError, match="busy"),
        exclusive_lock(path, "busy"),
    ):
        pass
    with exclusive_lock(path, "busy"):
        pass


def test_importing_the_package_loads_neither_tqdm_nor_multihost_utils():
    program = (
        "import sys, hashnet_jax.distributed; "
        "print({'tqdm', 'jax.experimental.multihost_utils'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_folder_that_cannot_be_removed_is_named(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")

    def unlink(path, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "c")  # as shutil names it

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        with pytest.raises(OSError, match=f"Input/output error: '{tmp_path / 'a'}'"):
            remove_folder(tmp_path / "a")
    remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()
