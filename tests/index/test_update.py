"""Tests for updates of a store: what is encoded, deleted, kept and reported."""

import dataclasses
import os
import shutil
import threading

import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.data import pictures
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.files import sha256
from hashnet_jax.index import (
    Changes,
    LocalEngine,
    StoreManifest,
    _row_writer,
    _update,
    add_pictures,
    check_same_network,
    create_store,
    encode_pictures,
    open_store,
    remove_pictures,
    update_store,
)
from hashnet_jax.weights import load
from tests.support.bad_pictures import jpeg, picture, write_bad, write_forbidden, write_good
from tests.support.cli_case import content, make_pictures, make_run
from tests.support.stores import ENGINE, all_rows, fresh

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def photos(tmp_path):
    return make_pictures(tmp_path / "photos", 21)


def refuse(run, paths):
    """An engine for updates that must not encode anything."""
    assert not list(paths)
    return iter(())


class Recorded:
    """An engine that records what it encodes, and fails after a number of batches."""

    def __init__(self, batches=None):
        self.paths, self._left = [], batches

    def __call__(self, run, paths):
        for batch, files, codes in ENGINE(run, paths):
            if self._left == 0:
                raise KeyboardInterrupt
            self._left = self._left and self._left - 1
            self.paths += [os.path.basename(path) for path in batch]
            yield batch, files, codes


def test_a_new_store_has_the_codes_of_its_pictures(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos)
    paths, params = [str(path) for path in sorted(photos.iterdir())], load(run)
    found = store.snapshot()
    assert found.ids.to_pylist() == paths
    batches = encode_pictures(params, paths, devices=local_devices(1), batch_size=8)
    np.testing.assert_array_equal(found.codes, np.concatenate([codes for *_, codes in batches]))
    assert len(np.unique(found.codes, axis=0)) > 3
    assert not np.any(found.codes[:, 1] & 0x0F), "the padding bits must be zeros"
    # Here, images are resized on the device, whereas the update uses PIL. The results differ by at
    # most one level out of 255.
    images = np.stack([pictures.read_picture(path) for path in paths])
    expected = np.asarray(hashnet_jax.encode(params, images))
    assert np.mean(np.asarray(hashnet_jax.unpack_bits(found.codes, 12)) == expected) > 0.98
    for row in all_rows(store):
        status = os.stat(row["id"])
        assert (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
        assert row["sha256"].hex() == sha256(row["id"])


def test_an_updated_store_equals_a_new_one(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos)
    picture(7).save(photos / "new.png")
    (photos / "inner").mkdir()
    picture(8).save(photos / "inner" / "also new.png")
    picture(9).save(photos / "0003.png")
    os.utime(photos / "0004.png", ns=(5, 5))
    (photos / "0005.png").unlink()
    (photos / "0006.png").rename(photos / "renamed.png")
    (photos / "0007.png").rename(photos / ".hidden.png")
    write_bad(photos)
    reported = []
    changes = update_store(
        *(store, run, [photos]), engine=ENGINE, on_unreadable=lambda *pair: reported.append(pair)
    )
    assert changes == Changes(new=3, changed=1, gone=3, unreadable=len(reported))
    new = fresh(tmp_path / "fresh", run, photos)
    assert all_rows(store) == all_rows(new)
    assert len(store) == 21


def test_the_code_of_a_picture_does_not_depend_on_bad_pictures_beside_it(run, photos, tmp_path):
    codes = [row["code"] for row in all_rows(fresh(tmp_path / "store", run, photos))]
    write_bad(photos)
    beside = fresh(tmp_path / "beside", run, photos, on_unreadable=lambda *pair: None)
    assert [row["code"] for row in all_rows(beside)] == codes


def test_unusual_pictures_are_indexed(run, tmp_path):
    folder = tmp_path / "my pictures ☃"
    folder.mkdir()
    good = write_good(folder)
    rows = all_rows(fresh(tmp_path / "store", run, folder))
    assert {os.path.basename(row["id"]) for row in rows} == good.keys()


def test_an_update_without_changes_loads_no_network_and_writes_nothing(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos)
    before = content(tmp_path / "store")
    assert update_store(store, run, [photos], engine=refuse) == Changes()
    assert content(tmp_path / "store") == before


def test_a_touched_picture_is_not_encoded_and_its_new_time_is_kept(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos, label_of=lambda path: "cat")
    for path in photos.iterdir():
        os.utime(path, ns=(5, 5))
    assert update_store(store, run, [photos], engine=refuse) == Changes()
    assert {(row["mtime_ns"], row["label"]) for row in all_rows(store)} == {(5, "cat")}
    expected = fresh(tmp_path / "fresh", run, photos, label_of=lambda path: "cat")
    assert all_rows(store) == all_rows(expected)


def test_labels_are_kept_unless_new_ones_are_given(run, photos, tmp_path):
    def label_of(path):
        return os.path.basename(path)[3] if path.endswith("2.png") else None

    store = fresh(tmp_path / "store", run, photos)
    found = []
    options = {"label_of": label_of, "on_change": lambda *pair: found.append(pair)}
    dry = update_store(store, run, [photos], engine=refuse, dry_run=True, **options)
    assert dry == Changes(relabelled=2)
    assert found == [("relabelled", str(photos / name)) for name in ("0002.png", "0012.png")]
    assert store.snapshot().labels.null_count == 21
    assert update_store(store, run, [photos], engine=refuse, **options) == dry
    assert str(dry) == "+0 new, 0 changed, 0 gone, 0 unreadable, 2 relabelled"
    assert all_rows(store) == all_rows(fresh(tmp_path / "fresh", run, photos, label_of=label_of))
    picture(1).save(photos / "0002.png")
    update_store(store, run, [photos], engine=ENGINE)
    labels = {os.path.basename(row["id"]): row["label"] for row in all_rows(store)}
    assert labels.pop("0002.png") == labels.pop("0012.png") == "2"
    assert set(labels.values()) == {None}


def test_unreadable_pictures_are_named_counted_and_tried_again(run, photos, tmp_path, monkeypatch):
    reasons = write_bad(photos)
    write_forbidden(photos / "forbidden.jpg", monkeypatch)
    reasons["forbidden.jpg"] = "permission denied"
    store = create_store(tmp_path / "store", StoreManifest.of_run(run))
    for new in (21, 0):
        reported = {}
        changes = update_store(
            *(store, run, [photos]), engine=ENGINE, on_unreadable=reported.__setitem__
        )
        named = {os.path.basename(path): reason for path, reason in reported.items()}
        passed_over = [name for name in reasons if name not in named]
        assert all(pictures.is_passed_over(reasons[name]) for name in passed_over)
        assert all(reasons[name] in reason for name, reason in named.items())
        assert changes == Changes(new=new, unreadable=len(named))
        assert len(named) > 5
    assert len(store) == 21
    (photos / sorted(named)[0]).write_bytes(jpeg())
    changes = update_store(store, run, [photos], engine=ENGINE)
    assert changes == Changes(new=1, unreadable=len(named) - 1)


def test_a_picture_that_becomes_unreadable_is_deleted(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos)
    (photos / "0003.png").write_bytes(b"no picture")
    assert update_store(store, run, [photos], engine=ENGINE) == Changes(unreadable=1)
    assert str(photos / "0003.png") not in store.snapshot().ids.to_pylist()
    assert len(store) == 20


def test_pictures_in_a_folder_that_cannot_be_listed_are_kept(run, photos, tmp_path, monkeypatch):
    make_pictures(photos / "locked", 3)
    store = fresh(tmp_path / "store", run, photos)
    entries = pictures._entries

    def refuse_one(folder):
        if folder == str(photos / "locked"):
            raise PermissionError(13, "Permission denied")
        return entries(folder)

    monkeypatch.setattr(pictures, "_entries", refuse_one)
    reported = []
    changes = update_store(
        *(store, run, [photos]), engine=refuse, on_unreadable=lambda *pair: reported.append(pair)
    )
    assert reported == [(str(photos / "locked"), "permission denied")]
    assert changes == Changes(unreadable=1)
    assert len(store) == 24
    (photos / "locked" / "0000.png").unlink()
    assert update_store(store, run, [photos], engine=refuse) == Changes(gone=1, unreadable=1)


def test_pictures_outside_the_named_folders_are_kept(run, photos, tmp_path):
    make_pictures(tmp_path / "photos and more", 3)
    store = fresh(tmp_path / "store", run, photos)
    add_pictures(store, run, [tmp_path / "photos and more"], engine=ENGINE)
    (photos / "0001.png").unlink()
    (tmp_path / "photos and more" / "0001.png").unlink()
    assert update_store(store, run, [photos / "0002.png"], engine=refuse) == Changes()
    assert update_store(store, run, [photos], engine=refuse) == Changes(gone=1)
    assert len(store) == 23


def test_a_folder_without_a_single_picture_is_refused_if_the_store_has_some(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos)
    for path in photos.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the 21 pictures .* is left\. .* not mounted"):
        update_store(store, run, [photos], engine=ENGINE)
    assert len(store) == 21
    (tmp_path / "other").mkdir()
    assert update_store(store, run, [tmp_path / "other"], engine=refuse) == Changes()
    shutil.rmtree(photos)
    with pytest.raises(FileNotFoundError, match="no file or folder matches"):
        update_store(store, run, [photos], engine=ENGINE)
    assert remove_pictures(store, [photos]) == {str(photos): 21}


def test_added_pictures_are_encoded_and_nothing_is_deleted(run, photos, tmp_path, monkeypatch):
    store = fresh(tmp_path / "store", run, photos)
    (photos / "0001.png").unlink()
    picture(3).save(photos / "0002.png")
    picture(4).save(photos / "it's new.png")
    monkeypatch.chdir(photos)
    named = ["0002.png", "0003.png", "it's new.png"]
    assert add_pictures(store, run, named, engine=ENGINE) == Changes(new=1, changed=1)
    assert add_pictures(store, run, ["*.png"], engine=refuse) == Changes()
    assert len(store) == 22
    monkeypatch.setattr("hashnet_jax.index._comparison._MOST_NAMED", 0)
    assert add_pictures(store, run, ["*.png"], engine=refuse) == Changes()


def test_pictures_are_removed_by_path_or_folder_whether_they_exist_or_not(run, photos, tmp_path):
    make_pictures(photos / "it's", 3)
    make_pictures(photos / "it's not", 3)
    store = fresh(tmp_path / "store", run, photos)
    shutil.rmtree(photos / "it's")
    removed = remove_pictures(store, [photos / "it's", photos / "0001.png", tmp_path / "none"])
    assert removed == {
        str(photos / "it's"): 3, str(photos / "0001.png"): 1, str(tmp_path / "none"): 0
    }  # fmt: skip
    assert (photos / "0001.png").exists()
    assert len(store) == 23
    assert remove_pictures(store, ["/"]) == {"/": 23}


def test_a_dry_run_names_what_would_change_and_changes_nothing(run, photos, tmp_path):
    store = fresh(tmp_path / "store", run, photos)
    before = content(tmp_path / "store")
    picture(1).save(photos / "new.png")
    picture(2).save(photos / "0003.png")
    os.utime(photos / "0004.png", ns=(5, 5))
    (photos / "0005.png").unlink()
    found = []
    options = {"dry_run": True, "on_change": lambda *pair: found.append(pair)}
    changes = update_store(store, run, [photos], engine=refuse, **options)
    assert changes == Changes(new=1, changed=1, gone=1)
    assert str(changes) == "+1 new, 1 changed, 1 gone, 0 unreadable"
    assert sorted(found) == [
        ("changed", str(photos / "0003.png")),
        ("gone", str(photos / "0005.png")),
        ("new", str(photos / "new.png")),
    ]
    assert content(tmp_path / "store") == before


def test_an_interrupted_update_keeps_what_is_written_and_goes_on(
    run, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(_row_writer, "ROWS_PER_TRANSACTION", 8)
    store = create_store(tmp_path / "store", StoreManifest.of_run(run))
    with pytest.raises(KeyboardInterrupt):
        update_store(store, run, [photos], engine=Recorded(batches=1))
    assert len(store) == 8
    engine = Recorded()
    assert update_store(store, run, [photos], engine=engine) == Changes(new=13)
    assert engine.paths == [f"{i:04}.png" for i in range(8, 21)]
    assert all_rows(store) == all_rows(fresh(tmp_path / "fresh", run, photos))


def test_two_updates_at_once_end_in_the_same_store_as_one(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(_row_writer, "ROWS_PER_TRANSACTION", 8)
    store = fresh(tmp_path / "store", run, photos)
    make_pictures(photos / "new", 30)
    for i in range(5):
        (photos / f"{i:04}.png").unlink()
    both, errors = threading.Barrier(2), []

    def together(run, paths):
        both.wait()
        yield from ENGINE(run, paths)

    def update():
        try:
            update_store(open_store(tmp_path / "store"), run, [photos], engine=together)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=update) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all_rows(store) == all_rows(fresh(tmp_path / "fresh", run, photos))


def test_a_store_of_another_network_is_refused_before_anything_is_read(run, photos, tmp_path):
    own = StoreManifest.of_run(run)
    check_same_network(own, "s", run)
    other = dataclasses.replace(own, weights_sha256="a" * 64, bits=48)
    store = create_store(tmp_path / "store", other)
    with pytest.raises(ValueError, match=r"computed by a different network \(small_cnn, 48 bits"):
        update_store(store, run, [photos], engine=refuse)
    with pytest.raises(FileNotFoundError, match=r"no model\.npz in"):
        add_pictures(store, tmp_path, [photos], engine=refuse)
    assert len(store) == 0


def test_paths_that_a_store_cannot_hold_are_named(run, photos, tmp_path):
    (photos / "two\nlines.jpg").write_bytes(jpeg())
    names = {"two\nlines.jpg": "line break"}
    latin = os.fsdecode(b"caf\xe9.jpg")
    try:
        (photos / latin).write_bytes(jpeg())
        names[latin] = "not UTF-8"
    except OSError:
        pass  # On some systems, file names must be Unicode.
    reported = {}
    store = create_store(tmp_path / "store", StoreManifest.of_run(run))
    update_store(store, run, [photos], engine=ENGINE, on_unreadable=reported.__setitem__)
    assert reported.keys() == {str(photos / name) for name in names}
    assert all(names[os.path.basename(path)] in reason for path, reason in reported.items())
    assert len(store) == 21


def test_many_touched_pictures_are_renewed_in_several_transactions(
    run, photos, tmp_path, monkeypatch
):
    store = fresh(tmp_path / "store", run, photos)
    monkeypatch.setattr(_row_writer, "_RENEWALS_PER_TRANSACTION", 4)
    monkeypatch.setattr(_row_writer, "TRANSACTIONS_PER_COMPACTION", 2)
    monkeypatch.setattr(_update, "_FILES_PER_BLOCK", 5)
    for path in photos.iterdir():
        os.utime(path, ns=(7, 7))
    update_store(store, run, [photos], engine=refuse)
    assert all_rows(store) == all_rows(fresh(tmp_path / "fresh", run, photos))


def test_an_engine_takes_a_multiple_of_the_number_of_devices():
    with pytest.raises(ValueError, match="`batch_size` must be >= 1, got 0"):
        LocalEngine(0, local_devices(1))
    with pytest.raises(ValueError, match="multiple of the number of devices"):
        LocalEngine(3, local_devices(2))
