"""Tests for exporting stores, and for importing codes folders into them."""

import dataclasses
import os
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.index import (
    Changes,
    StoreManifest,
    _export,
    check_codes,
    create_store,
    export_codes_folder,
    export_faiss,
    export_parquet,
    import_codes_folder,
    open_codes,
    read_manifest,
    update_store,
)
from hashnet_jax.index._store_rows import MANIFEST_KEY
from tests.support.bad_pictures import picture
from tests.support.cli_case import content, make_pictures, make_run
from tests.support.stores import ENGINE, all_rows, fresh, manifest, rows

pytest.importorskip("lancedb")

IDS = ["b", "a", "é"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run, 21 pictures and their exported codes. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run")
    make_pictures(folder / "photos", 21)
    store = fresh(folder / "store", folder / "run", folder / "photos")
    export_codes_folder(store, folder / "codes")
    as_encoded(folder / "codes")
    return folder


def as_encoded(folder):
    """Makes an exported folder look as if `hashnet encode` of an earlier version had written it."""
    dataclasses.replace(read_manifest(folder), batch_size=8, devices=1).write(folder)


@pytest.fixture
def store(tmp_path):
    store = create_store(tmp_path / "store", manifest())
    store.upsert(rows(store.manifest, IDS, labels=["cat", None, "dog"]))
    return store


def test_an_exported_codes_folder_has_the_codes_and_paths_by_id(store, tmp_path):
    assert export_codes_folder(store, tmp_path / "codes") == 3
    found = read_manifest(tmp_path / "codes")
    check_codes(tmp_path / "codes", found)
    assert (found.number, found.bits, found.weights_sha256) == (3, 12, "0" * 64)
    assert (found.inputs, found.batch_size) == ([store.uri], None)
    assert (tmp_path / "codes" / "ids.txt").read_text().splitlines() == sorted(IDS)
    codes = open_codes(tmp_path / "codes", found)
    assert isinstance(codes, np.memmap)
    np.testing.assert_array_equal(codes, store.snapshot().codes)
    before = content(tmp_path / "codes")
    assert set(before) == {"codes.npy", "ids.txt", "manifest.json"}
    with pytest.raises(FileExistsError, match=r"codes contains 'codes\.npy'"):
        export_codes_folder(store, tmp_path / "codes")
    with pytest.raises(FileExistsError, match="is a file"):
        export_codes_folder(store, tmp_path / "codes" / "ids.txt")
    assert content(tmp_path / "codes") == before


def test_an_export_that_fails_leaves_an_empty_folder_and_can_be_repeated(
    store, tmp_path, monkeypatch
):
    folder = tmp_path / "exported" / "codes"

    def fail(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(_export, "_write_manifest", fail)
        with pytest.raises(OSError, match="disk full"):
            export_codes_folder(store, folder)
    assert list(folder.iterdir()) == []
    (tmp_path / "link").symlink_to(folder)
    assert export_codes_folder(store, tmp_path / "link") == 3
    check_codes(folder, read_manifest(folder))


def test_an_exported_faiss_index_finds_the_codes_and_its_ids_name_them(store, tmp_path):
    faiss = pytest.importorskip("faiss")
    for _ in range(2):  # the second replaces the first
        assert export_faiss(store, tmp_path / "codes.faiss") == 3
    index = faiss.read_index_binary(str(tmp_path / "codes.faiss"))
    ids = (tmp_path / "codes.faiss.ids.txt").read_text().splitlines()
    assert (index.d, ids) == (16, sorted(IDS))
    distances, found = index.search(store.snapshot().codes, 1)
    assert (distances.ravel().tolist(), found.ravel().tolist()) == ([0, 0, 0], [0, 1, 2])


def test_without_faiss_the_error_names_the_command_that_installs_it(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModuleNotFoundError, match=r"to write a faiss index\. Install faiss-cpu"):
        export_faiss(store, tmp_path / "codes.faiss")
    assert not list(tmp_path.glob("codes*"))


def test_exported_parquet_has_the_rows_and_the_manifest(store, tmp_path):
    for _ in range(2):  # the second replaces the first
        assert export_parquet(store, tmp_path / "codes.parquet") == 3
    table = pq.read_table(tmp_path / "codes.parquet")
    assert StoreManifest.from_json(table.schema.metadata[MANIFEST_KEY].decode()) == store.manifest
    expected = [{name: row[name] for name in table.column_names} for row in all_rows(store)]
    assert table.column_names == ["id", "code", "label", "size", "mtime_ns", "sha256"]
    assert table.sort_by("id").to_pylist() == expected
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["codes.parquet"]


def test_an_empty_store_or_a_line_break_in_a_path_is_refused_before_a_file_is_written(tmp_path):
    store = create_store(tmp_path / "store", manifest())
    with pytest.raises(ValueError, match="store is empty"):
        export_codes_folder(store, tmp_path / "codes")
    assert export_parquet(store, tmp_path / "codes.parquet") == 0
    store.upsert(rows(store.manifest, ["two\nlines"]))
    with pytest.raises(ValueError, match=r"cannot contain 'two\\nlines', which has a line break"):
        export_codes_folder(store, tmp_path / "codes")
    assert not (tmp_path / "codes").exists()
    assert export_parquet(store, tmp_path / "codes.parquet") == 1


@pytest.mark.slow
def test_an_imported_codes_folder_equals_a_new_store_of_its_pictures(made, tmp_path):
    store = import_codes_folder(made / "codes", tmp_path / "store")
    new = fresh(tmp_path / "fresh", made / "run", made / "photos")
    assert all_rows(store) == all_rows(new)
    assert store.manifest == new.manifest
    changes = update_store(store, made / "run", [made / "photos"], engine=ENGINE)
    assert changes == Changes()
    export_codes_folder(store, tmp_path / "codes")
    for name in ("codes.npy", "ids.txt"):
        assert (tmp_path / "codes" / name).read_bytes() == (made / "codes" / name).read_bytes()


def test_pictures_that_changed_after_their_import_was_written_are_encoded_again(made, tmp_path):
    photos = make_pictures(tmp_path / "photos", 9)
    export_codes_folder(fresh(tmp_path / "old", made / "run", photos), tmp_path / "codes")
    as_encoded(tmp_path / "codes")
    picture(1).save(photos / "0003.png")
    (photos / "0004.png").unlink()
    store = import_codes_folder(tmp_path / "codes", tmp_path / "store")
    assert len(store) == 9
    changes = update_store(store, made / "run", [photos], engine=ENGINE)
    assert changes == Changes(changed=1, gone=1)
    assert all_rows(store) == all_rows(fresh(tmp_path / "fresh", made / "run", photos))
    assert len(import_codes_folder(made / "codes", tmp_path / "store")) == 8 + 21


def test_pictures_of_an_exported_folder_are_encoded_again(made, tmp_path):
    """A picture may have changed between its encoding and the export."""
    photos = make_pictures(tmp_path / "photos", 3)
    old = fresh(tmp_path / "old", made / "run", photos)
    picture(1).save(photos / "0001.png")
    export_codes_folder(old, tmp_path / "codes")
    store = import_codes_folder(tmp_path / "codes", tmp_path / "store")
    assert len(store) == 3
    assert update_store(store, made / "run", [photos], engine=ENGINE) == Changes(changed=3)
    assert all_rows(store) == all_rows(fresh(tmp_path / "fresh", made / "run", photos))


def test_codes_that_are_damaged_or_of_another_network_are_not_imported(made, store, tmp_path):
    with pytest.raises(ValueError, match="computed by different networks"):
        import_codes_folder(made / "codes", store.uri)
    assert len(store) == 3
    with pytest.raises(FileNotFoundError, match="no codes found"):
        import_codes_folder(made / "photos", tmp_path / "other")
    export_codes_folder(store, tmp_path / "codes")
    with open(tmp_path / "codes" / "codes.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(DamagedFile, match=r"codes\.npy is damaged"):
        import_codes_folder(tmp_path / "codes", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_path_that_is_not_utf8_is_named_and_not_imported(made, store, tmp_path):
    export_codes_folder(store, tmp_path / "codes")
    ids = tmp_path / "codes" / "ids.txt"
    ids.write_bytes(b"a\ncaf\xe9\nb\n")
    own = read_manifest(tmp_path / "codes")
    dataclasses.replace(own, ids_sha256=sha256(ids)).write(tmp_path / "codes")
    reported = []
    new = import_codes_folder(
        *(tmp_path / "codes", tmp_path / "new"), on_unreadable=lambda *pair: reported.append(pair)
    )
    found = {row["id"]: row["code"] for row in all_rows(new)}
    codes = store.snapshot().codes.tolist()
    assert found == {"a": codes[0], "b": codes[2]}
    assert reported == [("caf\udce9", "the path is not UTF-8; rename the file or folder")]
