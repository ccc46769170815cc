"""Tests the report of a run: its files, its page, and runs for which none can be written."""

import contextlib
import dataclasses
import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from hashnet_jax.cli import main
from hashnet_jax.cli._results import add_report
from hashnet_jax.report import read_finished_run, why_outdated, write_report
from hashnet_jax.report._publish import publish
from hashnet_jax.training import RunFolder

ROOT = Path(__file__).parents[2]
FIGURES = (
    *("precision_recall", "precision_at_n", "hamming_radius", "distances"),
    *("loss", "continuation", "relaxed_codes", "tsne"),
)


def test_every_figure_is_in_the_page_and_in_the_folder(made):
    page = made.page()
    assert tuple(figure["id"] for figure in page.attributes("figure")) == FIGURES
    for name in FIGURES:
        assert matplotlib.image.imread(made.folder / "figures" / f"{name}.png").shape[1] > 1000
        assert "<svg" in (made.folder / "figures" / f"{name}.svg").read_text()
    names = {path.stem for path in (made.folder / "figures").iterdir()}
    assert names == set(FIGURES)  # no partially written files


def test_every_figure_says_in_words_what_it_shows(made):
    alts = [image["alt"] for image in made.page().attributes("img")]
    assert all(alts)
    for alt in alts[: len(FIGURES)]:
        assert re.search(r"\d", alt)
        assert len(alt) > 60


def test_the_page_needs_no_other_file(made):
    page = made.page()
    assert not re.search(r"https?://|@import|url\(", page.text)
    elements = page.attributes("img", "link", "script")
    sources = [element.get("src", element.get("href")) for element in elements]
    assert all(source is None or source.startswith("data:") for source in sources)
    assert len(page.text) < 4_000_000


def test_the_title_names_the_run(made):
    text = made.page().text
    title = re.search("<title>(.*)</title>", text).group(1)
    name = made.dataset.name
    assert title.endswith(f" · {name}, small_cnn, 16 bits, seed 0 · {made.folder.name}")
    assert title.startswith("MAP@all 0.")
    assert f"<h1>{name}, small_<wbr>cnn, 16 bits, seed 0</h1>" in text


def test_headings_are_in_order_and_landmarks_are_there(made):
    page = made.page()
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.elements}
    assert page.attributes("html") == [{"lang": "en"}]
    ids = {element["id"] for _, element in page.elements if "id" in element}
    links = {element["href"].removeprefix("#") for element in page.attributes("a")}
    names = {
        element["aria-labelledby"] for _, element in page.elements if "aria-labelledby" in element
    }
    assert links | names <= ids


def test_names_are_text_whatever_they_hold(made):
    page = made.page()
    assert page.attributes("b") == []
    if made.dataset.name == "folder":
        assert "&lt;b&gt;bold &amp; brave&lt;/<wbr>b&gt;" in page.text
        assert 'title="holiday &amp; work/IMG_' in page.text


@pytest.mark.slow
def test_a_collapsed_run_shows_the_alarm(collapsed):
    write_report(collapsed.folder, collapsed.dataset, collapsed.params)
    text = collapsed.page().text
    assert '<div class="alarm"><strong>⚠ Collapsed codes.</strong> fewer distinct codes (1)' in text
    assert "COLLAPSED: fewer distinct codes (1) than classes (10); 16 of 16 bits are" in text


def test_a_sound_run_shows_no_alarm(made):
    text = made.page().text
    assert '<div class="alarm">' not in text
    assert "COLLAPSED" not in text


def test_an_unfinished_run_is_named_with_what_it_lacks_and_the_remedy(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path} must contain a finished run, but lacks metrics.jsonl" in error
    assert "finish this run with" in error
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.slow
def test_codes_that_are_not_those_of_the_result_are_refused(collapsed):
    with RunFolder(collapsed.folder, resume=True) as folder:
        result = folder.read_json("result.json")
        result["map"]["expected"] += 0.01
        folder.write_json("result.json", result)
    with pytest.raises(ValueError, match=r"do not match: the MAP computed from the codes is"):
        read_finished_run(collapsed.folder)


def test_a_report_that_fails_leaves_the_run_finished(made, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise RuntimeError("no disk")

    monkeypatch.setattr("hashnet_jax.report.write_report", fail)
    add_report(made.folder, made.dataset, made.params)
    error = capsys.readouterr().err
    assert "the report could not be written (RuntimeError: no disk)" in error
    assert f"hashnet report {made.folder}" in error


@pytest.mark.slow
def test_a_run_ends_with_its_report_and_the_program_writes_it_again(tmp_path, capsys):
    folder = tmp_path / "run"
    command = [sys.executable, "experiments/run.py", "--bits", "12", "--steps", "2"]
    result = subprocess.run(
        [*command, "--devices", "1", "--run-dir", folder],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    page = folder / "report.html"
    assert f"report: {page}\n" in result.stdout
    assert "report" not in result.stderr
    before = page.read_text()
    page.unlink()
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text() == before


def test_the_report_belongs_to_the_result_it_was_made_from(made, tmp_path):
    assert why_outdated(made.folder) is None
    run = shutil.copytree(made.folder, tmp_path / "run")
    for name in ("report.html", "card.json", "figures/loss.svg"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole[:-40] + b" " + whole[-39:])
        assert f"{run / name} is damaged or not" in why_outdated(run)
        (run / name).unlink()
        assert why_outdated(run) == f"{run / name} is missing."
        (run / name).write_bytes(whole)
    assert why_outdated(run) is None
    with RunFolder(run, resume=True) as folder:
        folder.write_json("result.json", folder.read_json("result.json") | {"seconds": 1.0})
    assert "card.json is damaged or not this run's protocol card" in why_outdated(run)
    (run / "card.json").write_text("{}")
    assert "no SHA-256" in why_outdated(run)


def test_an_outdated_report_of_a_finished_run_is_written_again(digits_run, capsys, monkeypatch):
    written = []
    monkeypatch.setattr(
        "hashnet_jax.report.write_report", lambda run, *_: written.append(run) or run
    )
    (digits_run / "report.html").write_text("the report of another run")
    assert main(["train", "--run-dir", str(digits_run), "--resume"]) == 0
    printed = capsys.readouterr().out
    assert f"note: {digits_run}/report.html does not match this result." in printed
    assert written == [digits_run]


@pytest.mark.parametrize("killed_at", [1, 6, 11, 16, 21, 26, "before the page"])
def test_an_interrupted_report_leaves_old_or_new_files(tmp_path, monkeypatch, killed_at):
    names = ("card.json", *(f"figures/{n}.png" for n in range(8)), "report.html")
    publish(tmp_path, dict.fromkeys(names, b"old"))
    calls = []

    def killed(function):
        def call(*args, **kwargs):
            calls.append(args)
            is_page = str(args[0]).endswith(".report-new/report.html")
            if len(calls) == killed_at or (killed_at == "before the page" and is_page):
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "replace", killed(os.replace))
    with contextlib.suppress(KeyboardInterrupt):
        publish(tmp_path, dict.fromkeys(names, b"new"))
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1
    monkeypatch.undo()
    publish(tmp_path, dict.fromkeys(names, b"new"))
    assert {(tmp_path / name).read_bytes() for name in names} == {b"new"}
    assert sorted(os.listdir(tmp_path)) == ["card.json", "figures", "report.html"]


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    names = ("card.json", "figures/loss.png", "report.html")
    publish(tmp_path, dict.fromkeys(names, b"old"))
    synced = []

    def fsync(file):
        synced.append(file)
        if len(synced) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device: .*\.report-new"):
        publish(tmp_path, dict.fromkeys(names, b"new"))
    assert {(tmp_path / name).read_bytes() for name in names} == {b"old"}


@pytest.mark.slow
def test_a_data_set_that_has_changed_is_refused(made):
    labels = made.dataset.labels[::-1].copy()
    changed = dataclasses.replace(made.dataset, labels=labels)
    with pytest.raises(ValueError, match=r"has changed since the run in .*Restore the data"):
        write_report(made.folder, changed, made.params)


@pytest.mark.slow
def test_the_report_of_a_read_only_run_is_written_elsewhere(
    digits_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(os, "access", lambda path, mode: path != digits_run or mode != os.W_OK)
    assert main(["report", str(digits_run)]) == 1
    assert capsys.readouterr().err == (
        f"hashnet report: error: {digits_run} is read-only. Set --output to the folder where the "
        "report should be written.\n"
    )
    before = sorted(digits_run.rglob("*"))
    output = tmp_path / "new" / "report"
    monkeypatch.setattr("hashnet_jax.report._compose.compose", fake_compose)
    assert main(["report", str(digits_run), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}/report.html\n"
    assert (output / "report.html").read_bytes() == b"page"
    assert sorted(digits_run.rglob("*")) == before


def fake_compose(*args, **kwargs):
    return {"card.json": b"card", "report.html": b"page"}
