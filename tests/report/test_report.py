"""The report of a run: its files, its page, and what happens to runs that cannot have one."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from hashnet_jax.cli import main
from hashnet_jax.cli._results import add_report
from hashnet_jax.report import read_finished_run, write_report

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
    assert names == set(FIGURES)  # and no part of a file


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
    if made.dataset.name == "pictures":
        assert "&lt;b&gt;bold &amp; brave&lt;/<wbr>b&gt;" in page.text
        assert 'title="holiday &amp; work/IMG_' in page.text


def test_a_collapsed_run_shows_the_alarm(collapsed):
    write_report(collapsed.folder, collapsed.dataset, collapsed.params)
    text = collapsed.page().text
    assert '<div class="alarm"><strong>⚠ Collapsed codes.</strong> 1 distinct codes for 10' in text
    assert "COLLAPSED: 1 distinct codes for 10 classes; 16 of 16 bits constant" in text


def test_a_sound_run_shows_no_alarm(made):
    text = made.page().text
    assert '<div class="alarm">' not in text
    assert "COLLAPSED" not in text


def test_an_unfinished_run_is_named_with_what_it_lacks_and_the_remedy(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path} must contain a finished run, but has no metrics.jsonl" in error
    assert "resume" in error
    assert os.listdir(tmp_path) == ["config.json"]


def test_codes_that_are_not_those_of_the_result_are_refused(collapsed):
    path = collapsed.folder / "result.json"
    result = json.loads(path.read_text())
    result["map"]["expected"] += 0.01
    path.write_text(json.dumps(result))
    with pytest.raises(ValueError, match=r"do not belong together: the codes have MAP"):
        read_finished_run(collapsed.folder)


def test_a_report_that_fails_leaves_the_run_finished(made, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise RuntimeError("no disk")

    monkeypatch.setattr("hashnet_jax.report.write_report", fail)
    add_report(made.folder, made.dataset, made.params)
    error = capsys.readouterr().err
    assert "its report could not be written (RuntimeError: no disk)" in error
    assert f"hashnet report {made.folder}" in error


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
