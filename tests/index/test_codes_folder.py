"""Codes folders are checked when they are read, by `hashnet index import` and `hashnet info`."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.cli_case import hashnet, make_pictures, make_run

pytest.importorskip("lancedb")

DATA_0_1 = Path(__file__).parents[1] / "data_0_1"
COMMANDS = (("info", "codes"), ("index", "import", "codes", "--store", "new"))


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
        store = folder / f"{name}-store"
        update = ("index", "update", folder / "run", folder / name, "--store", store)
        assert hashnet(*update, "--devices", 1, "--batch-size", 8) == 0
        assert hashnet("export", store, folder / f"{name}-codes") == 0
    return folder


@pytest.fixture
def case(made, tmp_path, monkeypatch):
    """A working directory with a run and `codes` to be damaged, beside the codes of the others."""
    for name in ("run", "pictures-codes", "others-codes"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    shutil.copytree("pictures-codes", "codes")
    return tmp_path


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
    "codes.npy of another shape": lambda: np.save("codes/codes.npy", np.zeros((3, 2), np.uint8)),
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
    "manifest.json deleted": lambda: os.remove("codes/manifest.json"),
}


def edit(path, **values):
    known = json.loads(Path(path).read_text()) | values
    kept = {name: value for name, value in known.items() if value is not None}
    Path(path).write_text(json.dumps(kept))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_codes_are_neither_described_nor_imported(case, capsys, damage):
    DAMAGES[damage]()
    before = content_or_pipes(case / "codes")
    capsys.readouterr()
    for command in COMMANDS:
        assert hashnet(*command) == 1
        out, err = capsys.readouterr()
        assert not out
        (line,) = err.splitlines()
        assert damage.split()[0] in line
    assert content_or_pipes(case / "codes") == before
    assert not (case / "new").exists()


def content_or_pipes(folder):
    return {path.name: path.is_file() and path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"bit_order": "little: entry 0 is the least significant bit"}, "an unsupported way"),
        ({"sign_of_zero": -1}, "an unsupported way"),
        ({"bits": 0}, "must be integers >= 1"),
        ({"padding_bits": 3}, "codes of 12 bits do not have 3 padding bits"),
    ],
)
def test_codes_of_another_form_are_refused(tmp_path, monkeypatch, capsys, wrong, reason):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(DATA_0_1 / "codes", "codes")  # whose manifest has no hash
    edit("codes/manifest.json", **wrong)
    for command in COMMANDS:
        assert hashnet(*command) == 1
        error = capsys.readouterr().err
        assert "codes/manifest.json is damaged or not a codes manifest" in error
        assert reason in error
    assert not Path("new").exists()


def test_codes_of_version_0_1_are_checked_by_their_sizes_with_a_note(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(DATA_0_1 / "codes", "codes")
    for command in COMMANDS:
        assert hashnet(*command) == 0
        assert "was written by version 0.1, without hashes" in capsys.readouterr().err
    lines = Path("codes/ids.txt").read_bytes().splitlines(keepends=True)
    Path("codes/ids.txt").write_bytes(b"".join(lines[:-1]))
    assert hashnet(*COMMANDS[1]) == 1
    assert "ids.txt is damaged" in capsys.readouterr().err
    Path("codes/ids.txt").write_bytes(b"".join(lines))
    np.save("codes/codes.npy", np.load("codes/codes.npy")[:-1])
    assert hashnet(*COMMANDS[1]) == 1
    assert "codes.npy is damaged" in capsys.readouterr().err


def test_info_describes_runs_and_codes(case, made, capsys):
    assert hashnet("info", "run") == 0
    out = capsys.readouterr().out
    assert "small_cnn" in out
    assert "resize to 8 x 8, centre crop 8" in out
    assert hashnet("info", "codes") == 0
    out = capsys.readouterr().out
    assert re.search(r"pictures: +24 \(0 skipped\)", out)
    assert re.search(r"bits: +12 in 2 bytes", out)
    assert re.search(rf"inputs: +{made}/pictures-store", out)
    assert hashnet("info", case) == 1
    error = capsys.readouterr().err
    assert "contains neither a finished run" in error
    assert "To describe a store, run `hashnet index info --store ...`." in error
