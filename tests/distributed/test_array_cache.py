"""Tests that a cached array is used only if it is the one that was saved."""

import errno

import numpy as np
import pytest

from hashnet_jax.distributed import array_cache
from hashnet_jax.distributed.array_cache import load_array, save_array

ARRAY = np.arange(600, dtype=np.float32).reshape(200, 3)


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    array_cache._say_once.cache_clear()


def load(folder, stem="stem", is_valid=lambda array: array.shape == ARRAY.shape):
    return load_array(folder, stem, is_valid=is_valid)


def test_an_array_is_loaded_as_it_was_saved_and_only_under_its_own_stem(tmp_path, capsys):
    assert load(tmp_path / "new") is None
    path = save_array(tmp_path / "new", "stem", ARRAY)
    assert [path] == list((tmp_path / "new").iterdir())
    np.testing.assert_array_equal(load(tmp_path / "new"), ARRAY)
    assert load(tmp_path / "new", "ste") is None
    assert load(tmp_path / "new", "st*m") is None
    assert capsys.readouterr().err == ""


def _flip(data):
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


@pytest.mark.parametrize(
    "damage", [_flip, lambda data: data[:-100], lambda data: b"", lambda data: data + b"x"]
)
def test_a_damaged_file_is_named_not_used_and_replaced(tmp_path, capsys, damage):
    path = save_array(tmp_path, "stem", ARRAY)
    path.write_bytes(damage(path.read_bytes()))
    assert load(tmp_path) is None
    error = capsys.readouterr().err
    assert error.startswith(f"note: {path} is damaged or not the array that its name identifies")
    assert error.lower().endswith("it will be recomputed.\n")
    assert error.count("\n") == 1
    assert save_array(tmp_path, "stem", ARRAY) == path
    np.testing.assert_array_equal(load(tmp_path), ARRAY)


def test_a_file_with_the_content_of_another_is_not_used(tmp_path, capsys):
    path = save_array(tmp_path, "stem", ARRAY)
    other = save_array(tmp_path, "other", ARRAY + 1)
    path.write_bytes(other.read_bytes())
    assert load(tmp_path) is None
    assert "its content does not match its hash" in capsys.readouterr().err


def test_an_array_that_does_not_match_the_data_is_replaced(tmp_path, capsys):
    old = save_array(tmp_path, "stem", ARRAY[:100])
    assert load(tmp_path) is None
    assert "its content, float32 [100, 3], does not match the data" in capsys.readouterr().err
    assert save_array(tmp_path, "stem", ARRAY) != old
    assert not old.exists()


def test_a_folder_that_cannot_be_written_is_reported_once(tmp_path, monkeypatch, capsys):
    def fail(*args):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(array_cache, "write_whole", fail)
    for stem in ("a", "b"):
        assert save_array(tmp_path, stem, ARRAY) is None
    assert capsys.readouterr().err == (
        f"note: the cache {tmp_path} cannot be written (Read-only file system); the run continues "
        "without it.\n"
    )


def test_a_file_in_place_of_the_folder_is_reported(tmp_path, capsys):
    (tmp_path / "cache").write_text("no folder")
    assert load(tmp_path / "cache") is None
    assert save_array(tmp_path / "cache", "stem", ARRAY) is None
    assert "cannot be written" in capsys.readouterr().err
