import itertools
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import report
import results
from made_runs import make_run
from options import parser
from reporting.card import card_text, protocol_card
from reporting.figures import _spread
from reporting.finished_run import read_finished_run
from reporting.gallery import gallery
from reporting.tables import class_table

from hashnet_jax.metrics import evaluate

ROOT = Path(__file__).parents[1]
FIGURES = (
    *("precision_recall", "precision_at_n", "hamming_radius", "distances"),
    *("loss", "continuation", "relaxed_codes", "tsne"),
)
VOID = ("meta", "link", "img")


class Page(HTMLParser):
    """Elements of a page in order, as (tag, attributes), and whether its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def attributes(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module", params=["digits", "pictures"])
def made(request, tmp_path_factory):
    """A run folder with its report, and the data set."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    dataset, params = make_run(folder, multi_label=request.param == "pictures")
    report.write_report(folder, dataset, params)
    return folder, dataset


@pytest.fixture
def collapsed(tmp_path):
    folder = tmp_path / "collapsed"
    return folder, *make_run(folder, collapsed=True)


def read(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_every_figure_is_in_the_page_and_in_the_folder(made):
    folder, _ = made
    _, page = read(folder)
    assert tuple(of["id"] for of in page.attributes("figure")) == FIGURES
    for name in FIGURES:
        assert matplotlib.image.imread(folder / "figures" / f"{name}.png").shape[1] > 1000
        assert "<svg" in (folder / "figures" / f"{name}.svg").read_text()
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert names == set(FIGURES)  # and no part of a file


def test_every_figure_says_in_words_what_it_shows(made):
    folder, _ = made
    _, page = read(folder)
    alts = [of["alt"] for of in page.attributes("img")]
    assert all(alts)
    for alt in alts[: len(FIGURES)]:
        assert re.search(r"\d", alt)
        assert len(alt) > 60


def test_the_page_needs_no_other_file(made):
    folder, _ = made
    text, page = read(folder)
    assert not re.search(r"https?://|@import|url\(", text)
    sources = [of.get("src", of.get("href")) for of in page.attributes("img", "link", "script")]
    assert all(source is None or source.startswith("data:") for source in sources)
    assert len(text) < 4_000_000


def test_headings_are_in_order_and_landmarks_are_there(made):
    _, page = read(made[0])
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.elements}
    assert page.attributes("html") == [{"lang": "en"}]
    ids = {of["id"] for _, of in page.elements if "id" in of}
    links = {of["href"].removeprefix("#") for of in page.attributes("a")}
    names = {of["aria-labelledby"] for _, of in page.elements if "aria-labelledby" in of}
    assert links | names <= ids


def test_names_of_classes_are_text_whatever_they_hold(made):
    text, page = read(made[0])
    assert page.attributes("b") == []
    if made[1].name == "pictures":
        assert "&lt;b&gt;bold &amp; brave&lt;/b&gt;" in text


def test_the_card_says_what_result_json_says(made):
    folder, _ = made
    result, card = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("result", "card")
    )
    for name in ("overlaps", "notes", "sizes"):
        assert card["data"][name] == result[name]
    assert card["training"]["variant"] == result["variant"]
    assert result["map"].items() <= card["retrieval"].items()
    for name in ("codes", "distinct", "constant_bits", "alarms"):
        assert card["codes"][name] == result["codes"][name]
    for name in ("versions", "devices", "seconds"):
        assert card["provenance"][name] == result[name]
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-2])
    assert (
        last.items()
        >= {
            name: card["training"][name]
            for name in ("beta", "loss", "binary_loss", "quantization_gap")
        }.items()
    )


def test_the_card_tells_overlaps_and_notes(made):
    folder, dataset = made
    text = " ".join(card_text(protocol_card(read_finished_run(folder))).split())
    if dataset.name == "digits":
        assert "Overlap, query in database 0 by index; 0 with a copy under another name" in text
    else:
        assert "Overlap, train in database 40 by index; copies under other names not" in text
        assert "Note made for a test." in text


def test_the_card_tells_how_the_backbone_was_trained(made):
    card = protocol_card(read_finished_run(made[0]))

    def training():
        return " ".join(card_text(card).split())

    assert "from random weights, train mode" in training()
    assert "augmentation" in training()
    card["training"] |= {"pretrained_sha256": "57934424" + 56 * "0", "backbone_mode": "inference"}
    assert "from weights 57934424…, inference mode" in training()
    card["training"]["frozen"] = True
    assert "weights 57934424…, frozen" in training()


def test_the_table_of_classes_holds_the_map_of_their_queries(made):
    folder, dataset = made
    finished = read_finished_run(folder)
    table = class_table(finished, dataset)
    assert [row[0] for row in table.rows] == list(dataset.classes)
    labels, query, database = dataset.labels, finished.query, finished.database
    members = labels[:, 2] == 1 if labels.ndim == 2 else labels == 2
    rows = np.flatnonzero(members[query.indices])
    mean, _ = evaluate(
        query.codes[rows], database.codes, query.labels[rows], database.labels, bits=finished.bits
    )
    assert table.rows[2][1] == len(rows)
    np.testing.assert_allclose(table.rows[2][2:], (mean.expected, mean.worst, mean.best))


def test_the_gallery_shows_the_nearest_codes_with_hits_marked(made):
    folder, dataset = made
    finished = read_finished_run(folder)
    queries = gallery(finished, dataset)
    assert len(queries) == 12
    precisions = [query.average_precision for query in queries]
    assert precisions == sorted(precisions)
    for query in queries:
        row = np.flatnonzero(finished.query.indices == query.index).item()
        bits = [np.unpackbits(part.codes, axis=1) for part in (finished.query, finished.database)]
        nearest = np.sort((bits[0][row] != bits[1]).sum(axis=1))[:10]
        assert [result.distance for result in query.results] == nearest.tolist()
        for result in query.results:
            assert result.hit == bool(set(result.labels) & set(query.labels))
    text, _ = read(folder)
    hits = sum(result.hit for query in queries for result in query.results)
    assert text.count(">✓ hit</span>") == hits + 1  # and the key
    assert text.count(">✗ miss</span>") == 120 - hits + 1


def test_a_collapsed_run_shows_the_alarm(collapsed):
    folder, dataset, params = collapsed
    report.write_report(folder, dataset, params)
    text, _ = read(folder)
    assert '<div class="alarm"><strong>⚠ Collapsed codes.</strong> 1 distinct codes for 10' in text
    assert "COLLAPSED: 1 distinct codes for 10 classes; 16 of 16 bits constant" in text


def test_a_sound_run_shows_no_alarm(made):
    text, _ = read(made[0])
    assert '<div class="alarm">' not in text
    assert "COLLAPSED" not in text


def test_an_unfinished_run_is_named_with_what_it_lacks_and_the_remedy(made, tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert report.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"report.py: {tmp_path} must hold a finished run, but has no metrics.jsonl"
    )
    assert f"--run-dir {tmp_path} --resume" in error
    assert os.listdir(tmp_path) == ["config.json"]


def test_codes_that_are_not_those_of_the_result_are_refused(collapsed):
    folder, *_ = collapsed
    result = json.loads((folder / "result.json").read_text())
    result["map"]["expected"] += 0.01
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match=r"must be of one evaluation, but the codes have MAP 0\."):
        read_finished_run(folder)


def test_the_card_is_printed_and_nothing_written(collapsed, capsys):
    folder, *_ = collapsed
    before = sorted(folder.iterdir())
    assert report.main([str(folder), "--card"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("MAP@all = ")
    assert re.search(r"Collapse alarm +COLLAPSED: 1 distinct codes", printed)
    assert sorted(folder.iterdir()) == before


def test_labels_are_moved_apart_no_more_than_they_must_be():
    np.testing.assert_allclose(_spread([0.5, 0.5], [0.1, 0.1]), [0.45, 0.55])
    np.testing.assert_allclose(_spread([0.2, 0.8], [0.1, 0.1]), [0.2, 0.8])
    np.testing.assert_allclose(_spread([0.0, 0.0], [0.2, 0.1]), [0.1, 0.25])
    np.testing.assert_allclose(_spread([1.0, 1.0], [0.1, 0.1]), [0.9, 1.0])


def test_a_report_that_fails_leaves_the_run_finished(made, monkeypatch, capsys):
    folder, dataset = made

    def fail(*args):
        raise RuntimeError("no disk")

    monkeypatch.setattr(report, "write_report", fail)
    results.add_report(folder, dataset, None)
    error = capsys.readouterr().err
    assert "the result is written, but not its report (RuntimeError: no disk)" in error
    assert f"python experiments/report.py {folder}" in error


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
    assert report.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text() == before


def test_no_report_is_an_option():
    assert parser().parse_args([]).report
    assert not parser().parse_args(["--no-report"]).report
