"""Tests that codes, paths, indexes and journals are bound to each other and checked when read."""

import errno
import importlib.util
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hashnet_jax.distributed import files
from hashnet_jax.index import _build, read_manifest
from tests.support.cli_case import content, hashnet, make_pictures, make_run

HAS_FAISS = importlib.util.find_spec("faiss") is not None
needs_faiss = pytest.mark.skipif(not HAS_FAISS, reason="searches with faiss")

ONE = ("--devices", 1, "--batch-size", 8)
DATA_0_1 = Path(__file__).parents[1] / "data_0_1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, and codes of two sets of pictures. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run")
    make_pictures(folder / "pictures", 24)
    (folder / "others").mkdir()
    for i, path in enumerate(sorted((folder / "pictures").iterdir(), reverse=True)):
        shutil.copy(path, folder / "others" / f"{i:04}.png")
    for name in ("pictures", "others"):
        assert (
            hashnet("encode", folder / "run", folder / name, "-o", folder / f"{name}-codes", *ONE)
            == 0
        )
    return folder


@pytest.fixture
def case(made, tmp_path, monkeypatch):
    """A copy of the folder ``made``, which is the working directory, with `codes` to be damaged."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.copytree("pictures-codes", "codes")
    return tmp_path


def search(*args):
    return hashnet("search", "run", "codes", "pictures/0003.png", *args)


def swap_lines(path, first=0, second=1):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[first], lines[second] = lines[second], lines[first]
    path.write_bytes(b"".join(lines))


def flip_last_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "codes.npy of another folder": lambda: shutil.copy("others-codes/codes.npy", "codes/codes.npy"),
    "codes.npy with one bit flipped": lambda: flip_last_bit(Path("codes/codes.npy")),
    "codes.npy cut": lambda: os.truncate("codes/codes.npy", 150),
    "codes.npy deleted": lambda: os.remove("codes/codes.npy"),
    "ids.txt reversed": lambda: Path("codes/ids.txt").write_bytes(
        b"".join(reversed(Path("codes/ids.txt").read_bytes().splitlines(keepends=True)))
    ),
    "ids.txt with two lines swapped": lambda: swap_lines(Path("codes/ids.txt")),
    "ids.txt cut": lambda: os.truncate("codes/ids.txt", 100),
    "ids.txt deleted": lambda: os.remove("codes/ids.txt"),
    "ids.txt is a pipe": lambda: (os.remove("codes/ids.txt"), os.mkfifo("codes/ids.txt")),
    "manifest.json with another number": lambda: edit("codes/manifest.json", number=23),
    "manifest.json with another input": lambda: edit("codes/manifest.json", inputs=["/elsewhere"]),
    "manifest.json without its hash": lambda: edit("codes/manifest.json", sha256=None),
    "manifest.json is a list": lambda: Path("codes/manifest.json").write_text("[]"),
    "manifest.json nested deeply": lambda: Path("codes/manifest.json").write_text("[" * 100_000),
}


def edit(path, **values):
    known = json.loads(Path(path).read_text()) | values
    kept = {name: value for name, value in known.items() if value is not None}
    Path(path).write_text(json.dumps(kept))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_codes_are_rejected_by_search_encode_and_info(case, made, capsys, damage):
    DAMAGES[damage]()
    before = content_or_pipes(case / "codes")
    capsys.readouterr()
    encode = ("encode", "run", made / "pictures", "-o", "codes", *ONE)
    commands = [lambda: hashnet(*encode), lambda: hashnet("info", "codes")]
    for command in [*commands, search] if HAS_FAISS else commands:
        assert command() == 1
        out, err = capsys.readouterr()
        assert not out
        (line,) = err.splitlines()
        assert damage.split()[0] in line
    assert content_or_pipes(case / "codes") == before


def content_or_pipes(folder):
    return {path.name: path.is_file() and path.read_bytes() for path in folder.iterdir()}


@needs_faiss
@pytest.mark.parametrize("with_record", [False, True])
def test_the_index_of_different_codes_is_rejected(case, capsys, with_record):
    assert search() == 0
    right = capsys.readouterr().out
    assert hashnet("search", "run", "others-codes", "pictures/0003.png") == 0
    for name in ("flat.faiss", "flat.faiss.json")[: 1 + with_record]:
        shutil.copy(f"others-codes/{name}", f"codes/{name}")
    capsys.readouterr()
    assert search() == 1
    err = capsys.readouterr().err
    assert "codes/flat.faiss is damaged or not an index of the codes in codes" in err
    assert "Delete codes/flat.faiss to rebuild it" in err
    os.remove("codes/flat.faiss")
    assert search() == 0
    assert capsys.readouterr().out == right


@needs_faiss
def test_an_index_without_a_record_is_built_again(case, capsys):
    assert search() == 0
    right = capsys.readouterr().out
    hashnet("search", "run", "others-codes", "pictures/0003.png")
    shutil.copy("others-codes/flat.faiss", "codes/flat.faiss")
    os.remove("codes/flat.faiss.json")
    capsys.readouterr()
    assert search() == 0
    out, err = capsys.readouterr()
    assert out == right
    assert "because codes/flat.faiss has no record of its origin" in err


@needs_faiss
def test_a_read_only_folder_is_searched_in_memory(case, capsys, monkeypatch):
    assert search() == 0
    right = capsys.readouterr().out
    for path in Path("codes").glob("flat*"):
        path.unlink()
    before = content(case / "codes")

    def open_read_only(path, mode="r"):
        if "w" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(path))
        return open(path, mode)

    monkeypatch.setattr(files, "open", open_read_only, raising=False)
    assert search() == 0
    out, err = capsys.readouterr()
    assert out == right
    assert "codes is read-only, so the index is only kept in memory" in err
    assert content(case / "codes") == before


def test_a_finished_folder_says_that_new_pictures_are_not_included(case, capsys):
    hashnet("encode", "run", case / "pictures", "-o", "again", *ONE)
    make_pictures(case / "pictures", 25)
    capsys.readouterr()
    assert hashnet("encode", "run", case / "pictures", "-o", "again", *ONE) == 0
    out = capsys.readouterr().out
    assert "already finished: 24 codes" in out
    assert "Pictures added later are not included" in out


@pytest.fixture
def unfinished(made, tmp_path, monkeypatch):
    """A working directory with `codes` that were interrupted after two batches."""
    monkeypatch.chdir(made)
    monkeypatch.setattr(_build, "SECONDS_BETWEEN_JOURNALS", 0.0)
    calls = itertools.count()
    save = _build.save_journal

    def interrupted(*args):
        save(*args)
        if next(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(_build, "save_journal", interrupted)
    args = ("encode", "run", made / "pictures", "-o", tmp_path / "codes", *ONE)
    assert hashnet(*args) == 130
    return tmp_path / "codes" / ".partial", lambda: hashnet(*args)


JOURNAL_DAMAGES = {
    "journal.json": lambda path: edit(path, done=8),
    "codes.npy": flip_last_bit,
    "ids.txt": swap_lines,
    "listing": lambda path: swap_lines(path, -1, -2),
    "skipped": lambda path: path.write_text('{"path": "x", "reason": "y"}\n'),
}


@pytest.mark.parametrize("name", JOURNAL_DAMAGES)
def test_damage_to_unfinished_codes_is_rejected(unfinished, capsys, name):
    partial, again = unfinished
    JOURNAL_DAMAGES[name](partial / name)
    if name == "skipped":  # it is cut to its valid length, which is 0 here
        assert again() == 0
        assert read_manifest(partial.parent).skipped == []
        return
    assert again() == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert str(partial / name) in err
    assert f"Delete {partial} and start again" in err


@pytest.mark.parametrize("name", ["codes.npy", "ids.txt"])
def test_unfinished_codes_without_an_output_file_are_rejected(unfinished, capsys, name):
    partial, again = unfinished
    os.remove(partial / name)
    assert again() == 1
    assert (
        f"{partial / name} is damaged or not the file described by journal.json"
        in capsys.readouterr().err
    )


def test_intact_unfinished_codes_are_continued(unfinished, made):
    partial, again = unfinished
    assert again() == 0
    got, expected = content(partial.parent), content(made / "pictures-codes")
    assert got == {name: data for name, data in expected.items() if "faiss" not in name}


@needs_faiss
def test_codes_written_by_0_1_are_searched_with_a_note(tmp_path, capsys):
    shutil.copytree(DATA_0_1 / "codes", tmp_path / "codes")
    shutil.copytree(DATA_0_1 / "finished", tmp_path / "run")
    picture = next((DATA_0_1 / "pictures").glob("*.png"))
    assert hashnet("search", tmp_path / "run", tmp_path / "codes", picture) == 0
    assert "was written by version 0.1, without hashes" in capsys.readouterr().err
    codes = np.load(tmp_path / "codes" / "codes.npy")
    np.save(tmp_path / "codes" / "codes.npy", codes[:-1])
    assert hashnet("search", tmp_path / "run", tmp_path / "codes", picture) == 1
    assert "codes.npy is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["listing", "journal.json"])
def test_a_pipe_in_place_of_a_file_of_unfinished_codes_is_rejected(unfinished, capsys, name):
    partial, again = unfinished
    os.remove(partial / name)
    os.mkfifo(partial / name)
    assert again() == 1
    assert f"{partial / name} is damaged" in capsys.readouterr().err


def test_truncated_unfinished_codes_of_0_1_are_rejected(tmp_path, capsys):
    shutil.copytree(DATA_0_1, tmp_path, dirs_exist_ok=True)
    ids = tmp_path / "unfinished_codes" / ".partial" / "ids.txt"
    journal = json.loads(ids.with_name("journal.json").read_text())
    ids.write_bytes(b"")
    pictures = [str(tmp_path / "pictures")] * len(journal["plan"]["inputs"])
    ids.with_name("journal.json").write_text(
        json.dumps({**journal, "plan": {**journal["plan"], "inputs": pictures}})
    )
    sizes = ["--batch-size", "8", "--devices", "1"]
    codes = str(tmp_path / "unfinished_codes")
    assert hashnet("encode", tmp_path / "finished", *pictures, "-o", codes, *sizes) == 1
    assert f"{ids} is damaged" in capsys.readouterr().err
