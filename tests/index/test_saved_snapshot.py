"""Tests for the snapshot that is saved beside the table of a store."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hashnet_jax.index import (
    _saved_snapshot,
    _store,
    create_store,
    load_snapshot,
    open_store,
    save_snapshot,
    search_snapshots,
)
from hashnet_jax.index._saved_snapshot import SAVED
from tests.support.cli_case import ROOT
from tests.support.stores import manifest, rows

pytest.importorskip("lancedb")


@pytest.fixture
def store(tmp_path):
    store = create_store(tmp_path / "store", manifest())
    store.upsert(rows(manifest(), ["b", "a", "é"], labels=["cat", None, "dog"]))
    return store


def refuse(uri):
    raise AssertionError("the table must not be read")


def check_same(first, second):
    assert (first.manifest, first.version) == (second.manifest, second.version)
    assert first.ids.to_pylist() == second.ids.to_pylist()
    assert first.labels.to_pylist() == second.labels.to_pylist()
    np.testing.assert_array_equal(first.codes, second.codes)


def test_the_second_search_reads_the_saved_snapshot_and_not_the_table(store, monkeypatch):
    first = load_snapshot(store.uri)
    monkeypatch.setattr(_store, "open_store", refuse)
    second = load_snapshot(store.uri)
    check_same(first, second)
    check_same(second, store.snapshot())
    assert search_snapshots([second], first.codes, k=2) == search_snapshots(
        [first], first.codes, k=2
    )


def test_after_every_kind_of_change_the_table_is_read_again(store):
    for change in (
        lambda: store.upsert(rows(manifest(), ["c"])),
        lambda: store.upsert(rows(manifest(), ["a"], seed=1)),
        lambda: store.delete(["b"]),
        lambda: store.delete(["a", "c", "é"]),
        lambda: store.upsert(rows(manifest(), ["d"])),
    ):
        load_snapshot(store.uri)
        change()
        check_same(load_snapshot(store.uri), store.snapshot())
        check_same(load_snapshot(store.uri), store.snapshot())


def test_a_store_that_replaced_another_one_is_read_again(store, tmp_path):
    load_snapshot(store.uri)
    other = create_store(tmp_path / "other", manifest(network="1"))
    other.upsert(rows(manifest(network="1"), ["b", "a", "é"], seed=1))
    shutil.rmtree(tmp_path / "store" / "pictures.lance")
    shutil.move(tmp_path / "other" / "pictures.lance", tmp_path / "store")
    assert load_snapshot(store.uri).manifest.weights_sha256 == "1" * 64


@pytest.mark.parametrize("length", [0, 10, 500, None])
def test_a_damaged_snapshot_is_named_and_written_again(store, capsys, length):
    expected = load_snapshot(store.uri)
    path = Path(store.uri, SAVED)
    content = bytearray(path.read_bytes())
    if length is None:  # another code, in a file that can be parsed
        content[content.index(expected.codes.tobytes())] ^= 1
    path.write_bytes(content[:length])
    check_same(load_snapshot(store.uri), expected)
    assert f"note: {path} is damaged or not a snapshot of the store" in capsys.readouterr().err
    check_same(load_snapshot(store.uri), expected)
    assert capsys.readouterr().err == ""


def test_nothing_is_saved_with_a_filter_or_while_the_store_is_being_changed(store, monkeypatch):
    path = os.path.join(store.uri, SAVED)
    assert load_snapshot(store.uri, where="label = 'cat'").ids.to_pylist() == ["b"]
    assert not os.path.exists(path)
    snapshot = type(store).snapshot

    def changed_meanwhile(self, **options):
        taken = snapshot(self, **options)
        store.upsert(rows(manifest(), ["z"]))
        return taken

    monkeypatch.setattr(type(store), "snapshot", changed_meanwhile)
    assert len(save_snapshot(store)) == 3
    assert not os.path.exists(path)


def test_a_read_only_store_is_searched_and_another_fault_of_the_disk_is_raised(store, monkeypatch):
    def fail(number):
        def write(path, content):
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(_saved_snapshot, "write_whole", write)

    fail(errno.EROFS)
    assert len(load_snapshot(store.uri)) == 3
    fail(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        load_snapshot(store.uri)


def test_a_store_that_is_missing_or_in_memory_is_opened_without_a_saved_snapshot(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store found"):
        load_snapshot(tmp_path / "none")
    store = create_store("memory://saved", manifest())
    assert len(save_snapshot(store)) == 0


@pytest.mark.slow
def test_a_saved_snapshot_is_read_without_lancedb_pandas_or_the_libraries_of_training(store):
    load_snapshot(store.uri)
    script = (
        "import sys, numpy, hashnet_jax.index as index\n"
        f"snapshot = index.load_snapshot({store.uri!r})\n"
        "found = index.search_snapshots([snapshot], snapshot.codes, k=2)\n"
        "heavy = {'lancedb', 'pandas', 'faiss', 'optax', 'orbax', 'grain', 'matplotlib'}\n"
        "print(found[0][0].distance, sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "0 []\n"


def test_open_store_and_load_snapshot_agree_on_an_empty_store(tmp_path):
    create_store(tmp_path / "store", manifest())
    for _ in range(2):
        snapshot = load_snapshot(tmp_path / "store")
        assert (len(snapshot), snapshot.codes.shape) == (0, (0, 2))
    check_same(snapshot, open_store(tmp_path / "store").snapshot())
