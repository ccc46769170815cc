"""Tests for the store: rows, versions, filters, and folders that are damaged or foreign."""

import dataclasses
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.distributed.seals import sealed
from hashnet_jax.index import (
    _store,
    create_store,
    make_rows,
    open_store,
    store_exists,
)
from hashnet_jax.index._store_rows import MANIFEST_KEY, row_checks, schema_of
from tests.support.cli_case import ROOT, content
from tests.support.stores import all_rows, manifest, rows

lancedb = pytest.importorskip("lancedb")

OWN = manifest()


def test_a_snapshot_has_the_codes_and_labels_in_order_of_the_ids(tmp_path):
    store = create_store(tmp_path / "store", OWN)
    assert (len(store), len(store.snapshot())) == (0, 0)
    assert store.snapshot().codes.shape == (0, 2)
    ids = ["b", "a", "é", "Z", "a/b", "\U0001f600"]
    table = rows(OWN, ids, labels=["cat", None, "", "cat", "dog", None])
    store.upsert(table)
    snapshot = open_store(tmp_path / "store").snapshot()
    assert snapshot.ids.to_pylist() == sorted(ids)
    expected = {row["id"]: (row["code"], row["label"]) for row in table.to_pylist()}
    for i, path in enumerate(sorted(ids)):
        assert (snapshot.codes[i].tolist(), snapshot.labels[i].as_py()) == expected[path]
    assert snapshot.codes.flags.c_contiguous
    assert snapshot.paths([2, 0]) == [sorted(ids)[2], sorted(ids)[0]]
    assert snapshot.manifest == OWN
    assert snapshot.version == store.version


def test_an_upsert_replaces_the_rows_of_its_ids_and_a_deletion_ignores_unknown_ids(tmp_path):
    store = create_store(tmp_path / "store", OWN)
    store.upsert(rows(OWN, ["a", "b", "c"], seed=1))
    store.upsert(rows(OWN, ["d", "b"], seed=2))
    store.delete(["c", "no such id"])
    newer = {row["id"]: row["code"] for row in rows(OWN, ["d", "b"], seed=2).to_pylist()}
    found = {row["id"]: row["code"] for row in all_rows(store)}
    assert found.keys() == {"a", "b", "d"}
    assert (found["b"], found["d"]) == (newer["b"], newer["d"])
    before = store.version
    store.upsert(rows(OWN, []))
    store.delete([])
    assert store.version == before


def test_changes_by_another_process_are_seen_without_opening_the_store_again(tmp_path):
    ours = create_store(tmp_path / "store", OWN)
    theirs = open_store(tmp_path / "store")
    before = ours.version
    theirs.upsert(rows(OWN, ["a", "b"]))
    assert ours.version > before
    assert len(ours) == 2
    theirs.delete(["a"])
    assert ours.snapshot().ids.to_pylist() == ["b"]
    assert [row["id"] for row in all_rows(ours)] == ["b"]


@pytest.mark.slow
@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=6))
@settings(max_examples=25, deadline=None)
def test_any_text_is_an_id_that_can_be_deleted_by_name(texts):
    ids = sorted({*texts, "it's", "100%_\\", '"', "id = id"})
    store = _shared_store()
    store.upsert(rows(OWN, ids, labels=ids))
    assert store.snapshot().ids.to_pylist() == ids
    for path in ids[::2]:
        store.delete([path])
    assert store.snapshot().labels.to_pylist() == ids[1::2]
    store.delete(ids)
    assert len(store) == 0


def _shared_store():
    if not hasattr(_shared_store, "store"):
        _shared_store.store = lancedb_in_memory()
    return _shared_store.store


def lancedb_in_memory():
    return create_store("memory://store", OWN)


def test_a_filter_selects_rows_and_a_wrong_one_is_named(tmp_path):
    store = create_store(tmp_path / "store", OWN)
    store.upsert(rows(OWN, ["a", "b", "c"], labels=["cat", "dog", "cat"]))
    assert store.snapshot(where="label = 'cat'").ids.to_pylist() == ["a", "c"]
    for where in ("label = ", "colour = 'red'", "label = 'cat' or so", "label", "true; DROP"):
        with pytest.raises(ValueError, match="`where` must be a SQL filter") as error:
            store.snapshot(where=where)
        assert not isinstance(error.value, DamagedFile)
    assert len(store) == 3


def test_rows_that_do_not_fit_the_store_are_refused(tmp_path):
    store = create_store(tmp_path / "store", OWN)
    with pytest.raises(ValueError, match="`codes` must have 2 bytes per code, since the store"):
        make_rows(
            *(OWN,), ids=["a"], codes=np.zeros((1, 3), np.uint8), sizes=[1], mtimes_ns=[1],
            sha256s=[bytes(32)],
        )  # fmt: skip
    with pytest.raises(ValueError, match="`rows` must have the columns"):
        store.upsert(rows(manifest(bits=24), ["a"]))
    with pytest.raises(ValueError, match="`rows` must have the columns"):
        store.upsert(rows(OWN, ["a"]).drop_columns(["label"]))


@pytest.mark.parametrize("begun", [".", "_versions", "_transactions"])
def test_a_store_is_created_where_an_earlier_call_was_interrupted(begun, tmp_path):
    folder = tmp_path / "store" / "pictures.lance" / begun
    folder.mkdir(parents=True)
    (folder / ".tmp").write_bytes(b"half")
    assert not store_exists(tmp_path / "store")
    create_store(tmp_path / "store", OWN)
    assert len(open_store(tmp_path / "store")) == 0


@pytest.mark.parametrize("lost", ["*.manifest", "latest_version_hint.json"])
def test_a_store_that_has_lost_its_versions_is_not_created_again(lost, tmp_path):
    create_store(tmp_path / "store", OWN).upsert(rows(OWN, ["a"]))
    for path in (tmp_path / "store" / "pictures.lance" / "_versions").glob("*.manifest"):
        path.unlink()
    for path in (tmp_path / "store" / "pictures.lance" / "_versions").glob(lost):
        path.unlink()
    with pytest.raises(FileExistsError, match="already contains a store"):
        create_store(tmp_path / "store", OWN)
    with pytest.raises(DamagedFile, match="store is damaged"):
        open_store(tmp_path / "store")


def test_a_new_store_takes_only_a_new_or_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not store_exists(tmp_path / "empty")
    create_store(tmp_path / "empty", OWN)
    assert store_exists(tmp_path / "empty")
    with pytest.raises(FileExistsError, match="already contains a store"):
        create_store(tmp_path / "empty", OWN)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(FileExistsError, match=r"photos contains 'a\.jpg'"):
        create_store(tmp_path / "photos", OWN)
    with pytest.raises(FileExistsError, match="is a file"):
        create_store(tmp_path / "photos" / "a.jpg", OWN)
    assert content(tmp_path / "photos") == {"a.jpg": b""}


def test_a_folder_that_is_no_store_is_refused_by_name(tmp_path):
    (tmp_path / "interrupted" / "pictures.lance").mkdir(parents=True)
    for name in ("none", "empty", "interrupted"):
        with pytest.raises(FileNotFoundError, match=rf"no store found in .*{name}\. Create it"):
            open_store(tmp_path / name)
    (tmp_path / "hollow" / "pictures.lance" / "data").mkdir(parents=True)
    (tmp_path / "hollow" / "pictures.lance" / "data" / "a.lance").touch()
    with pytest.raises(DamagedFile, match="hollow is damaged or not a store"):
        open_store(tmp_path / "hollow")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda schema: schema.remove_metadata(), "its table has no manifest"),
        (lambda schema: schema.remove(5), "its columns do not match its manifest"),
        (lambda schema: _with_manifest(schema, "{}"), "its manifest has no SHA-256"),
        (lambda schema: _with_manifest(schema, "["), "damaged or not a store"),
        (lambda schema: _with(schema, bits=24), "its columns do not match its manifest"),
        (lambda schema: _with(schema, format=2), "a newer version of hashnet_jax wrote"),
        (lambda schema: _with(schema, bit_order="little"), "packed in an unsupported way"),
        (lambda schema: _with(schema, colour="red"), "unexpected keyword argument 'colour'"),
        (lambda schema: _with(schema, preprocessing={}), "'decode' is missing"),
        (lambda schema: _with(schema, bits="12"), "'bits' must be an integer"),
    ],
)
def test_a_table_that_is_no_store_is_refused_by_name(change, reason, tmp_path):
    lancedb.connect(tmp_path / "t").create_table("pictures", schema=change(schema_of(OWN)))
    with pytest.raises(DamagedFile, match=f"t is damaged or not a store.*{reason}|{reason}"):
        open_store(tmp_path / "t")


def _with_manifest(schema, text):
    return schema.with_metadata({MANIFEST_KEY: text})


def _with(schema, **changes):
    return _with_manifest(schema, json.dumps(sealed(dataclasses.asdict(OWN) | changes)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store of 50 rows, in one file. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    ids = [f"/photos/{i:03}.jpg" for i in range(50)]
    create_store(folder, OWN).upsert(rows(OWN, ids, labels=["cat", "dog"] * 25))
    return folder


def test_a_store_without_lancedb_names_the_extra_to_install(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    for open_one in (lambda: open_store(whole), lambda: create_store(tmp_path / "store", OWN)):
        with pytest.raises(ModuleNotFoundError, match=r"lancedb is needed.*hashnet_jax\[search\]"):
            open_one()
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_data_is_found_or_harmless(whole, tmp_path):
    expected = open_store(whole).snapshot()
    (data,) = (whole / "pictures.lance" / "data").iterdir()
    original, found = data.read_bytes(), 0
    shutil.copytree(whole, tmp_path / "store")
    copy = tmp_path / "store" / data.relative_to(whole)
    for place in range(0, len(original), 37):
        flipped = bytearray(original)
        flipped[place] ^= 1 << place % 8
        copy.write_bytes(flipped)
        try:
            snapshot = open_store(tmp_path / "store").snapshot()
        except DamagedFile:
            found += 1
            continue
        assert snapshot.ids == expected.ids
        assert snapshot.labels == expected.labels
        np.testing.assert_array_equal(snapshot.codes, expected.codes)
    assert found > 5


def test_a_missing_or_truncated_file_is_named_as_damage(whole, tmp_path):
    for number, path in enumerate(sorted((whole / "pictures.lance").rglob("*.lance"))):
        for size in (None, 0, path.stat().st_size // 2):
            folder = tmp_path / f"{number}-{size}"
            shutil.copytree(whole, folder)
            copy = folder / path.relative_to(whole)
            if size is None:
                copy.unlink()
            else:
                os.truncate(copy, size)
            with pytest.raises(DamagedFile, match=f"{folder} is damaged or not a store"):
                open_store(folder).snapshot()


READ_ONLY = """
import os, sys
from hashnet_jax.index import open_store
open_store(sys.argv[1]).snapshot()  # imports everything
if os.geteuid() == 0:
    os.setuid(65534)  # Permissions do not bind the superuser.
store = open_store(sys.argv[1])
print(len(store.snapshot()), len(store))
try:
    store.delete(["/photos/000.jpg"])
except OSError as error:
    print(type(error).__name__, error.filename)
"""


@pytest.mark.slow
def test_a_read_only_store_is_read_and_a_change_is_refused_by_name(whole):
    with tempfile.TemporaryDirectory() as folder:  # The folders above tmp_path are private.
        os.chmod(folder, 0o755)
        copy = Path(folder, "store")
        shutil.copytree(whole, copy)
        before = content(copy)
        paths = [copy, *copy.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        command = [sys.executable, "-c", READ_ONLY, str(copy)]
        try:
            result = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
            )
        finally:
            for path in paths:
                path.chmod(0o755)
        assert result.stdout.split() == ["50", "50", "PermissionError", str(copy)]
        assert content(copy) == before


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@pytest.mark.slow
@given(st.lists(st.tuples(texts, st.binary(min_size=2, max_size=2), st.none() | texts), max_size=5))
@settings(deadline=None)
def test_the_check_is_a_weighted_sum_of_the_bytes_of_a_row(cases):
    def weights():
        x = 0
        while True:
            x = x + 0x9E3779B97F4A7C15 & 2**64 - 1
            y = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
            y = (y ^ y >> 27) * 0x94D049BB133111EB & 2**64 - 1
            yield y ^ y >> 31 | 1

    def weigh(data):
        return sum(byte * weight for byte, weight in zip(data, weights(), strict=False))

    def text_hash(text):
        data = text.encode()
        return weigh(data) + len(data) * 0x9E3779B97F4A7C15

    got = row_checks(*_columns(cases))
    for check, (path, code, label) in zip(got.tolist(), cases, strict=True):
        inner = weigh(code) * 3 + text_hash(path)
        assert check == (inner * 5 + text_hash(label or "") + (label is not None)) % 2**64


@pytest.mark.slow
@given(st.tuples(texts, st.binary(min_size=2, max_size=2), st.none() | texts), st.data())
@settings(deadline=None)
def test_a_change_of_a_byte_of_a_row_or_of_a_null_changes_its_check(case, data):
    path, code, label = case
    parts = [path.encode(), code, (label or "").encode()]
    part = data.draw(st.sampled_from([i for i, value in enumerate(parts) if value]))
    place = data.draw(st.integers(0, len(parts[part]) - 1))
    changed = bytearray(parts[part])
    changed[place] ^= data.draw(st.integers(1, 255))
    # Arrow does not check that a string is UTF-8.
    arrays = [pa.array([value], pa.binary()).view(pa.utf8()) for value in (parts[0], parts[2])]
    before = row_checks(arrays[0], np.frombuffer(code, np.uint8)[None], arrays[1])
    parts[part] = bytes(changed)
    arrays = [pa.array([value], pa.binary()).view(pa.utf8()) for value in (parts[0], parts[2])]
    after = row_checks(arrays[0], np.frombuffer(parts[1], np.uint8)[None], arrays[1])
    assert before != after
    null = row_checks(arrays[0], np.frombuffer(parts[1], np.uint8)[None], pa.array([None], "str"))
    assert null != after


def _columns(cases):
    paths, codes, labels = zip(*cases, strict=True) if cases else ((), (), ())
    array = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, 2)
    return pa.array(paths, pa.utf8()), array, pa.array(labels, pa.utf8())


@pytest.mark.slow
def test_concurrent_changes_all_take_effect(tmp_path):
    store = create_store(tmp_path / "store", OWN)
    errors = []

    def write(number):
        own = open_store(tmp_path / "store")
        try:
            for i in range(8):
                own.upsert(rows(OWN, ["shared", f"{number}-{i}", f"{number}-{i}-gone"]))
                own.delete([f"{number}-{i}-gone"])
                own.compact()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    expected = {"shared", *(f"{number}-{i}" for number in range(3) for i in range(8))}
    assert store.snapshot().ids.to_pylist() == sorted(expected)


def test_compaction_bounds_the_number_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "KEPT_VERSIONS", datetime.timedelta(milliseconds=1))
    store = create_store(tmp_path / "store", OWN)
    counts = []
    for round_ in range(3):
        for i in range(12):
            store.upsert(rows(OWN, [f"{j}.jpg" for j in range(i, i + 20)], seed=round_ * 12 + i))
        store.compact()
        counts.append(len(content(tmp_path / "store")))
    assert len(store) == 31
    assert max(counts) < 12
    for i in range(2):
        store.upsert(rows(OWN, ["0.jpg"], seed=i))
        store.tidy()
    assert len(content(tmp_path / "store")) > max(counts)
    monkeypatch.setattr(_store, "MOST_VERSIONS", 2)
    store.tidy()
    assert len(content(tmp_path / "store")) < 12


def test_a_large_store_gets_an_index_of_its_ids_and_stays_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "ROWS_FOR_INDEX", 30)
    ids = [f"{i}.jpg" for i in range(40)]
    store, plain = (create_store(tmp_path / name, OWN) for name in ("store", "plain"))
    store.upsert(rows(OWN, ids[:20]))
    store.compact()
    assert not store.table.list_indices()
    store.upsert(rows(OWN, ids[:30], seed=1))
    for _ in range(2):
        store.compact()
        assert [list(index.columns) for index in store.table.list_indices()] == [["id"]]
    for own in (store, plain):
        own.upsert(rows(OWN, ids[5:], seed=2))
        own.upsert(rows(OWN, ids[:8], seed=3))
        own.delete(["6.jpg", "39.jpg", "none"])
    assert all_rows(open_store(tmp_path / "store")) == all_rows(plain)
