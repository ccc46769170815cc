"""Tests for `hashnet encode`: its output, skipped pictures, and continuing after a kill."""

import configparser
import fcntl
import importlib.metadata
import itertools
import json
import os
import signal
import sys
import time

import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.cli import main
from hashnet_jax.data.pictures import read_picture
from hashnet_jax.distributed.files import sha256
from hashnet_jax.index import _build, _partial_folder, open_codes, read_ids, read_manifest
from tests.support.bad_pictures import jpeg, write_bad, write_forbidden, write_good
from tests.support.cli_case import ROOT, content, hashnet, make_pictures, make_run, start

ONE = ("--devices", 1, "--batch-size", 8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("trained") / "run")


def test_codes_equal_those_of_encode_and_the_manifest_describes_them(trained, tmp_path, capsys):
    make_pictures(tmp_path / "pictures", 21)
    assert hashnet("encode", trained, tmp_path / "pictures", "-o", tmp_path / "codes", *ONE) == 0
    assert "21 codes of 12 bits in" in capsys.readouterr().out
    codes = np.load(tmp_path / "codes" / "codes.npy", mmap_mode="r")
    assert isinstance(codes, np.memmap)
    assert (codes.shape, codes.dtype) == ((21, 2), np.uint8)
    paths = (tmp_path / "codes" / "ids.txt").read_text().splitlines()
    assert paths == [str(path) for path in sorted((tmp_path / "pictures").iterdir())]
    params = hashnet_jax.load(trained)
    # Here, images are resized on the device, whereas the command uses PIL. The results differ by at
    # most one level out of 255.
    images = np.stack([read_picture(path) for path in paths])
    expected = np.asarray(hashnet_jax.encode(params, images))
    got = np.asarray(hashnet_jax.unpack_bits(codes, 12))
    assert len(np.unique(got, axis=0)) > 3
    assert np.mean(got == expected) > 0.98
    assert not np.any(codes[:, 1] & 0x0F), "the padding bits must be zeros"

    manifest = json.loads((tmp_path / "codes" / "manifest.json").read_text())
    assert manifest["number"] == 21
    assert (manifest["bits"], manifest["padding_bits"], manifest["sign_of_zero"]) == (12, 4, 1)
    assert manifest["weights_sha256"] == sha256(trained / "model.npz")
    assert manifest["preprocessing"]["resize"] == [8, 8]
    assert manifest["package"] == f"hashnet_jax {hashnet_jax.__version__}"
    assert manifest["skipped"] == []
    assert set(content(tmp_path / "codes")) == {"codes.npy", "ids.txt", "manifest.json"}


def test_bad_pictures_are_named_and_skipped_and_the_rest_encoded(
    trained, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "my pictures ☃"
    folder.mkdir()
    good, reasons = write_good(folder), write_bad(folder)
    if sys.platform == "linux":  # On other systems, file names must be Unicode.
        latin = os.fsdecode(b"caf\xe9.jpg")
        (folder / latin).write_bytes(jpeg())
        good[latin] = None
    write_forbidden(folder / "forbidden.jpg", monkeypatch)
    reasons["forbidden.jpg"] = "permission denied"
    (folder / "loop").symlink_to(folder)
    (folder / "two\nlines.jpg").write_bytes(jpeg())
    reasons[r"two\nlines.jpg"] = "line break"
    assert hashnet("encode", trained, folder, "-o", tmp_path / "codes", *ONE) == 0
    printed = capsys.readouterr()
    assert f"{len(good)} codes of 12 bits" in printed.out
    assert f"{len(reasons)} skipped" in printed.out
    assert "Traceback" not in printed.err
    for name, reason in reasons.items():
        (line,) = [line for line in printed.err.splitlines() if f"/{name}: " in line]
        assert line.startswith("skipped ")
        assert reason in line
    manifest = read_manifest(tmp_path / "codes")
    assert len(manifest.skipped) == len(reasons)
    names = read_ids(tmp_path / "codes", range(manifest.number)).values()
    assert {os.path.basename(name) for name in names} == good.keys()


def test_the_code_of_a_picture_does_not_depend_on_bad_pictures_beside_it(trained, tmp_path):
    make_pictures(tmp_path / "a", 20)
    make_pictures(tmp_path / "b", 20)
    write_bad(tmp_path / "b")
    for name in "ab":
        assert (
            hashnet("encode", trained, tmp_path / name, "-o", tmp_path / f"{name}-codes", *ONE) == 0
        )
    a, b = (
        open_codes(path, read_manifest(path))
        for path in (tmp_path / "a-codes", tmp_path / "b-codes")
    )
    np.testing.assert_array_equal(a, b)


def test_files_folders_and_globs_are_encoded_once_each(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "a", 3)
    make_pictures(tmp_path / "b", 3)
    (tmp_path / "no suffix").write_bytes(jpeg())
    named = ["b", "b/0001.png", "a/*1.png", "**/0002.png", "no suffix", "./no suffix"]
    assert hashnet("encode", trained, *named, "-o", "codes", *ONE) == 0
    ids = (tmp_path / "codes" / "ids.txt").read_text().splitlines()
    relative = [os.path.relpath(path, tmp_path) for path in ids]
    assert relative == [
        "b/0000.png", "b/0001.png", "b/0002.png", "a/0001.png", "a/0002.png", "no suffix"
    ]  # fmt: skip


def test_named_files_are_encoded_and_files_passed_over_in_folders_are_named(
    trained, tmp_path, capsys
):
    mix = make_pictures(tmp_path / "mix", 1)
    make_pictures(mix / "sub", 1)
    for name in ("noext", ".hidden", "photo.heic"):
        (mix / name).write_bytes((mix / "0000.png").read_bytes())
    make_pictures(mix / ".folder", 1)
    (mix / "notes.doc").write_text("no picture")
    named = [mix / "noext", mix / ".hidden", mix / "photo.heic", mix / "0000.png"]
    codes = tmp_path / "codes"
    requested = [*named[:2], mix, mix / "sub", mix / ".folder", *named[2:]]
    assert hashnet("encode", trained, *requested, "-o", codes, *ONE) == 0
    assert "6 codes of 12 bits" in capsys.readouterr().out
    manifest = read_manifest(codes)
    ids = read_ids(codes, range(6)).values()
    inner = [mix / "sub" / "0000.png", mix / ".folder" / "0000.png"]
    assert sorted(ids) == sorted(map(str, named + inner))
    skipped = [skip["path"] for skip in manifest.skipped]
    assert skipped == [str(mix / ".folder"), str(mix / "notes.doc")]

    assert hashnet("encode", trained, mix, "-o", tmp_path / "folder", *ONE) == 0
    err = capsys.readouterr().err
    for name in ("noext", ".hidden", "photo.heic", "notes.doc"):
        assert f"skipped {mix / name}: " in err
    assert read_manifest(tmp_path / "folder").number == 2


@pytest.mark.slow
def test_killed_halfway_and_run_again_the_output_equals_that_of_an_uninterrupted_run(
    trained, tmp_path, capsys
):
    pictures = make_pictures(tmp_path / "pictures", 24, size=(500, 500))
    for i, path in itertools.product(range(12), sorted(pictures.iterdir())):
        os.link(path, pictures / f"{i}-{path.name}")
    write_bad(pictures)
    args = ("encode", trained, pictures, "-o")
    assert hashnet(*args, tmp_path / "whole", *ONE) == 0
    capsys.readouterr()
    codes = tmp_path / "codes"
    for _ in range(2):
        before = done_of(codes)
        process = start(*args, codes, *ONE)
        while process.poll() is None and done_of(codes) <= before:
            time.sleep(0.005)
        time.sleep(0.02)  # Continue into the next batches, which are not in the journal yet.
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the process ended before it was killed"
        assert not (codes / "manifest.json").exists()
    assert hashnet(*args, codes, *ONE) == 0
    assert "continuing after" in capsys.readouterr().err
    assert content(codes) == content(tmp_path / "whole")


def done_of(codes):
    try:
        return json.loads((codes / ".partial" / "journal.json").read_text())["done"]
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_an_interruption_at_any_replacement_of_a_file_is_harmless(
    trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(_build, "SECONDS_BETWEEN_JOURNALS", 0.0)
    make_pictures(tmp_path / "pictures", 20)
    write_bad(tmp_path / "pictures")
    args = ("encode", trained, tmp_path / "pictures", "-o")
    assert hashnet(*args, tmp_path / "whole", *ONE) == 0
    replace, finished = os.replace, False
    for until in itertools.count():
        left = until

        def interrupted(*paths):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            replace(*paths)

        monkeypatch.setattr(os, "replace", interrupted)
        codes = tmp_path / f"codes-{until}"
        status = hashnet(*args, codes, *ONE)
        monkeypatch.setattr(os, "replace", replace)
        finished = status == 0
        if finished:
            break
        assert "interrupted; run the same command again to continue" in capsys.readouterr().err
        assert hashnet(*args, codes, *ONE) == 0
        assert content(codes) == content(tmp_path / "whole")
    assert until >= 7, "five journals, the codes, the ids and the manifest"


def test_repeating_the_call_finds_the_finished_codes_and_a_different_call_is_rejected(
    trained, tmp_path, capsys
):
    make_pictures(tmp_path / "pictures", 3)
    codes = tmp_path / "codes"
    args = ("encode", trained, tmp_path / "pictures", "-o", codes)
    assert hashnet(*args, *ONE) == 0
    before = content(codes)
    assert hashnet(*args, *ONE) == 0
    assert "already finished: 3 codes" in capsys.readouterr().out
    assert hashnet(*args, "--devices", 1, "--batch-size", 4) == 1
    assert (
        "contains codes from a call with different arguments (batch_size: 8, now 4)"
        in capsys.readouterr().err
    )
    other = make_run(tmp_path / "other", seed=1)
    assert hashnet("encode", other, tmp_path / "pictures", "-o", codes, *ONE) == 1
    assert "codes from a call with different arguments (weights_sha256: " in capsys.readouterr().err
    assert content(codes) == before


def test_two_processes_do_not_write_to_the_same_folder(trained, tmp_path, capsys):
    make_pictures(tmp_path / "pictures", 3)
    partial = tmp_path / "codes" / ".partial"
    partial.mkdir(parents=True)
    with open(partial / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status = hashnet("encode", trained, tmp_path / "pictures", "-o", tmp_path / "codes", *ONE)
    assert status == 1
    assert "another process is writing to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("none pictures -o codes", "no model.npz in none. It is written when a run ends"),
        ("run nowhere -o codes", "no file or folder matches 'nowhere'"),
        ("run empty -o codes", "no readable pictures found in"),
        ("run text.txt -o codes", "(1 skipped). Pass files in one of the formats JPEG, "),
        ("run empty -o codes", "or folders with such files"),
        ("run pictures -o text.txt", "--output must be a folder, but text.txt is a file"),
        (
            "run pictures -o pictures",
            "must be a new or empty folder, but pictures contains '0000.png'",
        ),
        ("run pictures -o codes --batch-size 0", "must be >= 1, got 0"),
        ("run pictures -o codes --batch-size 9 --devices 2", "of the number of devices (2), got 9"),
        ("run pictures -o codes --devices 99", "the number of devices must be in 1..8, got 99"),
    ],
)
def test_an_impossible_request_is_rejected_in_one_line(
    trained, tmp_path, monkeypatch, capsys, args, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(trained)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no picture")
    make_pictures(tmp_path / "pictures", 2)
    assert hashnet("encode", *args.split()) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("hashnet encode: error: ")
    assert message in error
    assert not (tmp_path / "codes").exists()


def test_a_new_folder_without_codes_is_kept_if_somebody_has_put_a_file_there(
    trained, tmp_path, monkeypatch
):
    output = tmp_path / "codes"
    (tmp_path / "broken.png").write_text("no picture")

    def read_skips(partial):
        (output / "notes.txt").write_text("mine")
        return _partial_folder.read_skips(partial)

    monkeypatch.setattr(_build, "read_skips", read_skips)
    assert hashnet("encode", trained, tmp_path / "broken.png", "-o", output) == 1
    assert [path.name for path in output.iterdir()] == ["notes.txt"]


def test_installing_the_package_provides_the_command():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, target = setup["options.entry_points"]["console_scripts"].strip().split(" = ")
    assert name == "hashnet"
    assert importlib.metadata.EntryPoint(name, target, "console_scripts").load() is main


@pytest.mark.slow
def test_only_plain_lines_are_printed_to_a_pipe(trained, tmp_path):
    make_pictures(tmp_path / "pictures", 3)
    process = start("encode", trained, tmp_path / "pictures", "-o", tmp_path / "codes")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == f"3 codes of 12 bits in {tmp_path / 'codes'}\n"
    assert err.splitlines()[0] == "listing pictures"
    assert "encoding: 3/3 pictures" in err
    assert "\r" not in err
