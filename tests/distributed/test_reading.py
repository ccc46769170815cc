"""Tests the readers of files that may be damaged; more of them in tests/fuzz/test_parsers.py."""

import copy
import gc
import os
import sys
import threading
import zipfile
from unittest import mock

import numpy as np
import pytest

from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.reading import (
    DamagedFile,
    file_exists,
    read_hashed_npz,
    read_npy,
    read_npz,
)


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


@pytest.fixture
def busy_collector():
    """Lets the garbage collector run often, with a callback like JAX's, and threads switch."""

    def callback(*_):
        for _ in range(30):
            pass

    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.callbacks.append(callback)
    gc.set_threshold(20, 2, 2)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)
    gc.callbacks.remove(callback)


def test_threads_that_read_arrays_at_once_take_none_of_them_for_damaged(tmp_path, busy_collector):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.savez(tmp_path / "a.npz", a=np.arange(6).reshape(2, 3))
    errors = []

    def read():
        for _ in range(60):
            try:
                read_npy(tmp_path / "a.npy", "codes", "restore it")
                read_npz(tmp_path / "a.npz", "a split", "restore it")
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


ARRAYS = {
    "matrix": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.int8).reshape(2, 3).T,
    "number": np.float32(2),
    "text": np.array("spec"),
    "empty": np.zeros((0, 3), np.uint8),
}


def test_hashed_arrays_equal_the_saved_ones_and_start_where_jax_need_not_copy_them(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **ARRAYS)
    arrays, digest = read_hashed_npz(path, "a model", "restore it")
    assert digest == sha256(path)
    assert list(arrays) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], expected, strict=True)
        assert arrays[name].ctypes.data % 64 == 0 or not expected.size
        assert arrays[name].flags.writeable


def test_a_compressed_truncated_or_resized_array_is_not_read_with_its_hash(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **ARRAYS)
    with pytest.raises(DamagedFile, match=r"a.npz .*\('matrix.npy' is compressed\)"):
        read_hashed_npz(path, "a model", "restore it")
    np.savez(path, **ARRAYS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(DamagedFile, match=r"a\.npz is damaged or not a model"):
        read_hashed_npz(path, "a model", "restore it")
    path.write_bytes(whole.replace(b"(2, 3)", b"(2, 9)"))
    with pytest.raises(DamagedFile, match="its header declares 144 bytes"):
        read_hashed_npz(path, "a model", "restore it")
    path.write_bytes(b"")
    with pytest.raises(DamagedFile):
        read_hashed_npz(path, "a model", "restore it")


def test_overlapping_arrays_that_unpack_to_more_than_the_file_are_damage(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(1000))
    with zipfile.ZipFile(path) as archive:
        (member,) = archive.infolist()
    members = [member, *(copy.copy(member) for _ in range(3))]
    with mock.patch.object(zipfile.ZipFile, "infolist", return_value=members):
        with pytest.raises(DamagedFile, match="its arrays are larger than the file"):
            read_hashed_npz(path, "a model", "restore it")
        members[:] = [member, member]
        path.write_bytes(path.read_bytes() + bytes(10_000))
        with pytest.raises(DamagedFile):
            read_hashed_npz(path, "a model", "restore it")
