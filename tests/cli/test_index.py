"""Tests for `hashnet index` and `hashnet export`: what they print, and their errors."""

import shutil

import pytest

from hashnet_jax.cli import _index, main
from hashnet_jax.index import Store, _store, load_snapshot, open_store
from tests.support.bad_pictures import picture
from tests.support.cli_case import content, hashnet, make_pictures, make_run, start

pytest.importorskip("lancedb")

ONE = ("--devices", 1, "--batch-size", 8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run, 21 pictures and their store. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run")
    make_pictures(folder / "photos" / "cats", 21)
    args = ("index", "update", folder / "run", folder / "photos", "--store", folder / "store")
    assert hashnet(*args, *ONE, "--folder-labels") == 0
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the store, which tests may modify."""
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


def test_update_ends_with_a_line_that_says_what_it_did(made, copy, tmp_path, capsys):
    photos = made / "photos"
    update = ("index", "update", made / "run", photos, tmp_path, "--store", copy, *ONE)
    picture(1).save(tmp_path / "new.png")
    (tmp_path / "bad\x1b.png").write_bytes(b"no picture")
    assert hashnet(*update, "--dry-run") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"+ {tmp_path}/bad\\x1b.png",
        f"+ {tmp_path}/new.png",
        "dry run: +2 new, 0 changed, 0 gone, 0 unreadable",
    ]
    assert hashnet(*update) == 0
    printed = capsys.readouterr()
    assert printed.out == "+1 new, 0 changed, 0 gone, 1 unreadable\n"
    assert f"unreadable {tmp_path}/bad\\x1b.png: not a picture" in printed.err
    assert "indexing: 2/2 pictures" in printed.err
    (tmp_path / "new.png").unlink()
    assert hashnet(*update) == 0
    assert capsys.readouterr().out == "+0 new, 0 changed, 1 gone, 1 unreadable\n"


@pytest.mark.parametrize("action", ["add", "update"])
def test_a_folder_without_pictures_creates_no_store(action, made, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    args = ("index", action, made / "run", tmp_path / "empty", "--store", tmp_path / "s", *ONE)
    assert hashnet(*args) == 1
    assert "PICTURES must contain pictures, but none was found" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("name", ["codes.npy", "codes.csv"])
def test_an_export_to_an_unknown_format_is_refused(name, made, tmp_path, capsys):
    assert hashnet("export", made / "store", tmp_path / name) == 1
    message = "to export a store, end in .parquet or .faiss, or be a folder without a suffix; got "
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_add_creates_a_store_and_gives_its_pictures_the_label(made, tmp_path, capsys):
    args = ("index", "add", made / "run", made / "photos" / "cats" / "0001.png")
    assert hashnet(*args, "--store", tmp_path / "s", "--label", "cat", *ONE) == 0
    assert capsys.readouterr().out == "+1 new, 0 changed, 0 gone, 0 unreadable\n"
    assert hashnet("index", "info", "--store", tmp_path / "s") == 0
    facts = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert (facts["pictures"].strip(), facts["labelled"].strip()) == ("1", "1")
    assert facts["bits"].strip() == "12 in 2 bytes"


def test_remove_counts_what_it_deletes_and_names_what_it_does_not_find(made, copy, capsys):
    cats = made / "photos" / "cats"
    named = (cats / "0001.png", cats / "none.png")
    assert hashnet("index", "remove", *named, "--store", copy) == 0
    printed = capsys.readouterr()
    assert printed.out == "1 removed\n"
    assert printed.err == f"not in the store: {cats / 'none.png'}\n"
    assert hashnet("index", "remove", cats, "--store", copy) == 0
    assert capsys.readouterr().out == "20 removed\n"


def test_an_exported_folder_is_imported(made, tmp_path, capsys):
    codes = tmp_path / "codes"
    assert hashnet("export", made / "store", codes) == 0
    assert capsys.readouterr().out == f"21 codes in {codes}\n"
    assert hashnet("index", "import", codes, "--store", tmp_path / "store") == 0
    assert capsys.readouterr().out == f"21 pictures in {tmp_path / 'store'}\n"
    assert hashnet("export", tmp_path / "store", tmp_path / "again") == 0
    for name in ("codes.npy", "ids.txt"):
        assert (tmp_path / "again" / name).read_bytes() == (codes / name).read_bytes()


@pytest.mark.parametrize("suffix", ["parquet", "faiss"])
def test_an_export_writes_the_format_of_its_suffix(suffix, made, tmp_path, capsys):
    if suffix == "faiss":
        pytest.importorskip("faiss")
    out = tmp_path / f"out.{suffix}"
    assert hashnet("export", made / "store", out) == 0
    assert capsys.readouterr().out == f"21 codes in {out}\n"
    assert out.is_file()


@pytest.fixture(scope="module")
def codes(made):
    """The codes folder of the store. Tests must not modify it."""
    assert hashnet("export", made / "store", made / "codes") == 0
    return made / "codes"


def change_a_store(made, codes, uri):
    """Imports into a store, removes from it, adds to it and updates it; yields after each."""
    first = made / "photos" / "cats" / "0001.png"
    for command in (
        ("import", codes),
        ("remove", first),
        ("add", made / "run", first, *ONE),
        ("update", made / "run", made / "photos", *ONE, "--label", "cat"),
    ):
        assert hashnet("index", *command, "--store", uri) == 0
        yield command[0]


def test_the_search_after_any_change_reads_the_saved_snapshot(made, codes, tmp_path, monkeypatch):
    store = tmp_path / "store"
    for _ in change_a_store(made, codes, store):
        expected = open_store(store).snapshot()
        with monkeypatch.context() as patch:
            patch.setattr(_store, "open_store", None)
            saved = load_snapshot(store)
        assert saved.version == expected.version
        assert saved.ids.to_pylist() == expected.ids.to_pylist()


def test_a_change_of_a_store_in_object_storage_does_not_read_all_of_its_rows(
    made, codes, tmp_path, monkeypatch
):
    uri = f"file://{tmp_path}/store"  # an address, as of a bucket
    monkeypatch.setattr(Store, "snapshot", None)
    assert list(change_a_store(made, codes, uri)) == ["import", "remove", "add", "update"]
    assert open_store(uri).count("label = 'cat'") == 21


def test_mistakes_are_named_by_their_options_and_create_no_store(made, tmp_path, capsys):
    run, store = made / "run", tmp_path / "store"
    for args, message in (
        (("update", run, tmp_path / "none"), "no file or folder matches"),
        (("update", run, made / "photos", "--batch-size", 0), "--batch-size must be >= 1, got 0."),
        (
            ("update", run, made / "photos", "--batch-size", 9, "--devices", 2),
            "of the number of devices (2), got 9",
        ),
        (
            ("update", run, made / "photos", "--devices", 99),
            "the number of devices must be in 1..8, got 99",
        ),
        (("update", tmp_path, made / "photos"), "no model.npz in"),
        (("add", run, made / "photos", "--address", "auto"), "need --engine ray."),
        (
            ("add", run, made / "photos", "--engine", "ray", "--devices", 1),
            "--devices must not be given with --engine ray",
        ),
        (
            ("add", run, made / "photos", "--engine", "ray", "--workers", 0),
            "--workers must be >= 1, got 0.",
        ),
        (("update", run, made / "photos", "--dry-run"), "no store found in"),
        (("remove", made / "photos"), "no store found in"),
        (("import", made / "photos"), "no codes found in"),
        (("info",), "or choose another --store."),
    ):
        assert hashnet("index", *args, "--store", store) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"hashnet index {args[0]}: error: ")
        assert message in error
        assert not store.exists()
    assert hashnet("index", "info", "--store", made / "photos") == 1
    photos = content(made / "photos")
    assert hashnet("index", "update", run, made / "photos", "--store", made / "photos") == 1
    assert "--store must be a new or empty folder" in capsys.readouterr().err
    assert content(made / "photos") == photos
    assert hashnet("export", store, tmp_path / "out") == 1
    assert "hashnet export: error: no store found in" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["update", "add", "remove", "info", "import"])
def test_help_of_every_action_is_at_most_80_columns_wide(action, capsys):
    with pytest.raises(SystemExit):
        main(["index", action, "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: hashnet index {action} ")
    assert max(map(len, text.splitlines())) <= 80


def test_unreadable_pictures_beyond_the_first_are_only_counted(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_index, "MAX_UNREADABLE_SHOWN", 2)
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    assert hashnet("index", "add", made / "run", tmp_path, "--store", tmp_path / "s", *ONE) == 0
    printed = capsys.readouterr()
    assert printed.out == "+0 new, 0 changed, 0 gone, 5 unreadable\n"
    lines = [line for line in printed.err.splitlines() if line.startswith("unreadable")]
    assert len(lines) == 3
    assert lines[-1] == "unreadable: 3 more"


@pytest.mark.slow
def test_only_plain_lines_are_printed_to_a_pipe(made, tmp_path):
    process = start("index", "update", made / "run", made / "photos", "--store", tmp_path / "store")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == "+21 new, 0 changed, 0 gone, 0 unreadable\n"
    assert "indexing: 21/21 pictures" in err
    assert "\r" not in err
