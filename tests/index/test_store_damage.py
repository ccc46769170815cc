"""Damage to a store that LanceDB does not notice, or that it reports as something else."""

import os
import shutil

import numpy as np
import pyarrow as pa
import pytest

from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.index import (
    _table_folder,
    build_index,
    create_store,
    open_store,
    search_tables,
)
from hashnet_jax.index._lance import faults_named
from hashnet_jax.index._store_rows import schema_of
from tests.support.stores import all_rows, manifest, rows

lancedb = pytest.importorskip("lancedb")

OWN = manifest()
COLUMNS = ["id", "code", "size", "mtime_ns", "sha256", "label"]


def new_store(folder, ids=("a", "b", "c"), *, seed=0):
    store = create_store(folder, OWN)
    store.upsert(rows(OWN, list(ids), seed=seed))
    return store


def only(folder, *parts):
    (path,) = (folder / "pictures.lance").joinpath(*parts).rglob("*.*")
    return path


def test_the_rows_of_another_store_are_refused(tmp_path):
    store, other = new_store(tmp_path / "a"), new_store(tmp_path / "b", ["d"], seed=1)
    store.table.add(other.table.to_arrow())
    for read in (store.snapshot, lambda: list(store.rows(COLUMNS))):
        with pytest.raises(DamagedFile, match=r"/a is damaged.*do not match their checksums"):
            read()
    assert len(other.snapshot()) == 1


@pytest.mark.parametrize("change", [{"size": 7}, {"mtime_ns": 7}, {"label": "x"}])
def test_a_changed_field_of_a_row_is_found_whichever_it_is(change, tmp_path):
    store = new_store(tmp_path / "store")
    store.table.update(where="id = 'b'", values=change)
    with pytest.raises(DamagedFile, match=r"store is damaged.*checksums"):
        list(store.rows(COLUMNS))
    with pytest.raises(DamagedFile, match="checksums"):
        list(store.rows([*change]))


def test_a_changed_hash_of_a_file_is_found(tmp_path):
    store = new_store(tmp_path / "store")
    store.table.update(where="id = 'b'", values_sql={"sha256": f"X'{'11' * 32}'"})
    with pytest.raises(DamagedFile, match="checksums"):
        list(store.rows(["id", "sha256"]))


def test_a_path_that_appears_twice_is_refused(tmp_path):
    store = new_store(tmp_path / "store")
    store.table.add(store.table.to_arrow().slice(1, 1))
    with pytest.raises(DamagedFile, match="it contains a path twice"):
        store.snapshot()


def test_a_lost_newest_version_is_noticed_and_not_replaced_by_the_one_before_it(tmp_path):
    store = new_store(tmp_path / "store")
    store.delete(["a"])
    versions = tmp_path / "store" / "pictures.lance" / "_versions"
    min(versions.glob("*.manifest")).unlink()  # LanceDB counts down
    with pytest.raises(DamagedFile, match="names version 3, but the newest version is 2"):
        open_store(tmp_path / "store")
    (versions / "latest_version_hint.json").write_text("{")
    assert len(open_store(tmp_path / "store")) == 3  # nothing says that there was a newer one


def test_a_pipe_or_a_broken_link_in_a_store_is_named(tmp_path):
    for name, put in (("pipe", os.mkfifo), ("link", lambda path: path.symlink_to("nowhere"))):
        new_store(tmp_path / name)
        path = only(tmp_path / name, "data")
        path.unlink()
        put(path)
        with pytest.raises(DamagedFile, match=rf"{path.name} is not a regular file"):
            open_store(tmp_path / name)


def test_a_folder_that_disappears_while_a_store_is_opened_is_no_damage(tmp_path, monkeypatch):
    new_store(tmp_path / "store")
    scandir = os.scandir

    def vanishing(path):
        if os.fspath(path).endswith("data"):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(_table_folder.os, "scandir", vanishing)
    _table_folder.check_regular_files(str(tmp_path / "store"))


@pytest.mark.parametrize("kind", ["data", "_deletions"])
def test_a_filter_is_not_blamed_for_a_damaged_store(kind, tmp_path):
    new_store(tmp_path / "store").delete(["a"])
    path = only(tmp_path / "store", kind)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DamagedFile, match="store is damaged"):
        open_store(tmp_path / "store").snapshot(where="label = 'x'")
    with pytest.raises(DamagedFile, match="store is damaged"):
        open_store(tmp_path / "store").count("label = 'x'")


@pytest.mark.parametrize("where", ["CAST(id AS INT) > 3", "size / 0 > 1"])
def test_a_filter_that_fails_on_a_row_is_named(where, tmp_path):
    with pytest.raises(ValueError, match=r"`where` must be a SQL filter") as caught:
        new_store(tmp_path / "store").snapshot(where=where)
    assert not isinstance(caught.value, DamagedFile)


def test_an_index_of_another_store_is_refused(tmp_path):
    for seed, name in enumerate("ab"):
        build_index(new_store(tmp_path / name, [f"{i:03}" for i in range(300)], seed=seed))
    indices = [next((tmp_path / name).rglob("auxiliary.idx")) for name in "ba"]
    shutil.copyfile(*indices)
    query = np.zeros((1, OWN.code_bytes), np.uint8)
    with pytest.raises(DamagedFile, match="the codes in its index are not those in the table"):
        search_tables([open_store(tmp_path / "a")], query, 5, probes=64)
    assert len(search_tables([open_store(tmp_path / "a")], query, 5)[0]) == 5


def test_a_store_whose_check_sums_do_not_cover_files_is_still_read_and_changed(tmp_path):
    table = lancedb.connect(tmp_path / "store").create_table("pictures", schema=schema_of(OWN))
    table.add(rows(OWN, ["a", "b"]))
    store = open_store(tmp_path / "store")
    store.upsert(rows(OWN, ["b", "c"], seed=1))
    assert [row["id"] for row in all_rows(store)] == store.snapshot().ids.to_pylist()
    store.table.update(where="id = 'b'", values={"label": "x"})
    with pytest.raises(DamagedFile, match="checksums"):
        store.snapshot()


def test_the_checks_of_part_of_a_batch_are_those_of_its_rows(tmp_path):
    store = new_store(tmp_path / "store", [f"{i:03}" for i in range(20)])
    whole = store.table.to_arrow().combine_chunks()
    for part in (whole.slice(3, 9), whole.slice(3, 9).to_batches()[0], whole.slice(0, 0)):
        store.check_rows(part)


def test_rows_of_two_batches_are_written_with_their_checks(tmp_path):
    store = create_store(tmp_path / "store", OWN)
    parts = [rows(OWN, ["a", "b"]), rows(OWN, ["c"], seed=1)]
    store.upsert(pa.concat_tables(parts))
    store.upsert(rows(OWN, ["d"], seed=2).to_batches()[0])
    assert [row["id"] for row in all_rows(store)] == ["a", "b", "c", "d"]


def test_a_panic_of_lancedb_is_damage_but_an_interruption_is_not():
    class PanicException(BaseException):
        pass

    with pytest.raises(DamagedFile, match="store is damaged"), faults_named("store"):
        raise PanicException
    with pytest.raises(KeyboardInterrupt), faults_named("store"):
        raise KeyboardInterrupt
