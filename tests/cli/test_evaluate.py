"""Tests for `hashnet evaluate`: codes of any origin, and a MAP for every convention."""

import itertools
import json
import re

import numpy as np
import pytest

from hashnet_jax.metrics import CONVENTIONS, DIVISORS, NO_HIT
from tests.support.cli_case import hashnet
from tests.support.code_files import (
    DATABASE,
    DATABASE_LABELS,
    HOT,
    QUERIES,
    QUERY_LABELS,
    write_arrays,
)


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Evaluates arrays written to files, and returns the JSON that is printed."""

    def run(*options, **arrays):
        capsys.readouterr()
        status = hashnet("evaluate", *write_arrays(tmp_path, **arrays), "--json", *options)
        output = capsys.readouterr()
        assert status == 0, output.err
        return json.loads(output.out)

    return run


def entry_of(card, cutoff, divisor, no_hit):
    (entry,) = [
        entry
        for entry in card["map"]
        if (entry["cutoff"], entry["divisor"], entry["no_hit"]) == (cutoff, divisor, no_hit)
    ]
    return entry


def band(entry):
    return [entry["worst"], entry["expected"], entry["best"]]


def test_every_convention_of_a_case_computed_by_hand(evaluate):
    # Query 0, class 0: rank 1 is a hit, ranks 2-3 are one hit and one miss in either order, rank 4
    # is a hit. Query 1, class 1: rank 1 and 2 are misses, ranks 3-4 are one hit and one miss.
    card = evaluate("--cutoff", 2)
    first = [(1 + 2 / 3 + 3 / 4) / 3, (1 + (1 + 2 / 3) / 2 + 3 / 4) / 3, (1 + 1 + 3 / 4) / 3]
    second = [1 / 4, (1 / 4 + 1 / 3) / 2, 1 / 3]
    mean = np.mean([first, second], axis=0)
    for divisor, no_hit in itertools.product(("hits", "min"), NO_HIT):
        np.testing.assert_allclose(band(entry_of(card, None, divisor, no_hit)), mean)
    by_ranks = np.mean([np.multiply(first, 3 / 5), np.multiply(second, 1 / 5)], axis=0)
    np.testing.assert_allclose(band(entry_of(card, None, "cutoff", "zero")), by_ranks)
    # At R = 2: AP of query 0 is 1 or (1 + 1) / 2 by its hits, 1/2 or 1 by min(R, 3); query 1 has
    # no hit.
    np.testing.assert_allclose(band(entry_of(card, 2, "hits", "drop")), [1, 1, 1])
    np.testing.assert_allclose(band(entry_of(card, 2, "hits", "zero")), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(band(entry_of(card, 2, "min", "drop")), [0.5, 0.75, 1])
    np.testing.assert_allclose(band(entry_of(card, 2, "cutoff", "zero")), [0.25, 0.375, 0.5])
    assert entry_of(card, 2, "hits", "zero")["queries_without_hit"] == 1
    assert len(card["map"]) == 2 * len(DIVISORS) * len(NO_HIT)


def test_every_value_carries_its_convention_and_the_tools_that_use_it(evaluate):
    card = evaluate("--cutoff", 2, "all", 3)
    assert [entry["cutoff"] for entry in card["map"][::6]] == [2, 3, None]
    for entry in card["map"]:
        assert entry["convention"].startswith(f"MAP@{entry['cutoff'] or 'all'}, expected over ties")
    used_by = entry_of(card, 2, "hits", "zero")["used_by"]
    assert used_by == ["hashnet_jax", "deephash-pytorch", "torchmetrics"]
    assert "scikit-learn" in entry_of(card, None, "hits", "zero")["used_by"]
    named = set().union(*(entry["used_by"] for entry in card["map"]))
    assert named == {*CONVENTIONS, "hashnet_jax"}


def test_only_the_requested_conventions_are_shown(evaluate):
    card = evaluate("--cutoff", 2, "--convention", "google-landmarks", "scikit-learn")
    shown = [(entry["cutoff"], entry["divisor"], entry["no_hit"]) for entry in card["map"]]
    assert shown == [(2, "min", "zero"), (None, "hits", "zero"), (None, "min", "zero")]


def test_curves_and_the_ball_of_radius_2_under_each_convention(evaluate):
    lonely = np.array([[1, 1, 1], [-1, -1, -1], [-1, -1, -1]])
    near = np.array([[1, 1, 1], [1, 1, -1], [1, -1, -1]])
    card = evaluate(
        query_codes=np.hstack([lonely, lonely]), database_codes=np.hstack([near, near]),
        query_labels=np.array([0, 0, 7]), database_labels=np.array([0, 1, 0]),
    )  # fmt: skip
    # Distances of query 0: 0, 2, 4; of the others: 6, 4, 2.
    ball = card["radius"]
    assert (ball["radius"], ball["queries_with_empty_ball"]) == (2, 0)
    assert ball["precision_empty_counts_0"] == ball["precision_empty_dropped"] == 0.5
    assert ball["precision_pooled"] == 2 / 4
    np.testing.assert_allclose(ball["recall"], (1 / 2 + 1 / 2 + 0) / 3)
    assert card["precision_at"]["ranks"] == [1, 2, 3]
    np.testing.assert_allclose(card["precision_at"]["precision"], [2 / 3, 1 / 3, 4 / 9])
    curve = card["precision_recall"]
    assert curve["radius"] == list(range(7))
    assert curve["precision"][0] == 1
    assert curve["recall"][-1] == 1
    np.testing.assert_allclose(card["relevant_share"], 4 / 9)
    assert card["metrics"]["precision_within_radius_2"] == 0.5
    assert "1 of 3 queries share no label with the database" in card["notes"][0]


def test_queries_with_an_empty_ball_count_as_0_or_are_dropped(evaluate):
    card = evaluate(
        query_codes=np.array([[1] * 4, [-1] * 4]), database_codes=np.ones((2, 4), int),
        query_labels=np.array([0, 0]), database_labels=np.array([0, 1]),
    )  # fmt: skip
    ball = card["radius"]
    assert ball["queries_with_empty_ball"] == 1
    assert (ball["precision_empty_counts_0"], ball["precision_empty_dropped"]) == (0.25, 0.5)


ENCODINGS = {
    "int8": lambda codes: codes.astype(np.int8),
    "float32": lambda codes: codes.astype(np.float32),
    "big-endian": lambda codes: codes.astype(">f8"),
    "0/1": lambda codes: (codes > 0).astype(np.int64),
    "uint8 0/1": lambda codes: (codes > 0).astype(np.uint8),
    "bool": lambda codes: codes > 0,
    "packed": lambda codes: np.packbits(codes > 0, axis=1),
    "column-major": lambda codes: np.asfortranarray(codes.astype(np.float16)),
}


def numbers_of(card):
    return {name: value for name, value in card.items() if name != "files"}


def test_all_encodings_of_codes_and_labels_give_identical_output(evaluate):
    rng = np.random.default_rng(0)
    queries, database = (rng.choice([-1, 1], (n, 12)) for n in (7, 40))
    labels = [rng.integers(0, 3, n) for n in (7, 40)]
    ids = dict(zip(("query_labels", "database_labels"), labels, strict=True))
    hot = {name: HOT[label].astype(bool) for name, label in ids.items()}
    whole = {name: label.astype(np.float32) for name, label in ids.items()}
    column = {name: label[:, None] for name, label in ids.items()}
    cards = {}
    for name, encode in ENCODINGS.items():
        codes = {"query_codes": encode(queries), "database_codes": encode(database)}
        cards[name] = evaluate("--bits", 12, **codes, **ids)
    mixed = {"query_codes": ENCODINGS["packed"](queries), "database_codes": database}
    cards["mixed"] = evaluate("--bits", 12, **mixed, **ids)
    codes = {"query_codes": queries, "database_codes": database}
    cards["whole"], cards["column"] = evaluate(**codes, **whole), evaluate(**codes, **column)
    for card in cards.values():
        assert numbers_of(card) == numbers_of(cards["int8"])
    assert cards["packed"]["files"]["query"]["encoding"] == "uint8 [7, 2], packed"
    multi_hot = evaluate(**codes, **hot)
    assert multi_hot["map"] == cards["int8"]["map"]
    assert multi_hot["multi_hot"]


def test_the_text_states_files_conventions_and_alarms(tmp_path, capsys):
    collapsed = {"query_codes": np.ones((2, 3), int), "database_codes": np.ones((5, 3), int)}
    arguments = write_arrays(tmp_path, **collapsed)
    assert hashnet("evaluate", *arguments, "--cutoff", 2, "--reported", "0.5") == 0
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert re.search(r"MAP@2 +0\.\d{4} +0\.\d{4} +1\.0000 +min\(R, relevant\) +counts as 0", text)
    assert "as in hashnet_jax, deephash-pytorch, torchmetrics" in text
    assert "COLLAPSED: fewer distinct codes (1) than classes (3); 3 of 3 bits are constant" in words
    assert "(int64 [5, 3] of +1 only)" in words
    assert "2 of 2 by code, 2 by code and labels" in words
    assert "<- 0.5 is possible" in text
    lines = [line for line in text.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80


def test_a_reported_map_is_possible_between_worst_and_best(tmp_path, capsys):
    arguments = write_arrays(tmp_path)
    assert hashnet("evaluate", *arguments, "--reported", "0.9999") == 0
    assert "0.9999 is not possible under any of these" in capsys.readouterr().out
    assert hashnet("evaluate", *arguments, "--reported", ".57", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert entry_of(card, None, "hits", "zero")["reported_is_possible"]
    assert not entry_of(card, None, "cutoff", "zero")["reported_is_possible"]
    for wrong in ("63.8", "much", "nan"):
        assert hashnet("evaluate", *arguments, "--reported", wrong) == 1
        assert "--reported must be a MAP in 0..1" in capsys.readouterr().err


def test_undefined_values_are_null_in_json(evaluate):
    card = evaluate(query_labels=np.array([8, 9]))
    assert entry_of(card, None, "hits", "drop")["expected"] is None
    assert entry_of(card, None, "hits", "zero")["expected"] == 0
    assert card["precision_recall"]["recall"] == [None] * 4


def test_images_without_labels_and_negative_class_ids_are_noted(evaluate):
    hot = {"query_labels": HOT[QUERY_LABELS], "database_labels": HOT[DATABASE_LABELS]}
    hot["database_labels"][[1, 2]] = 0
    notes = evaluate(**hot)["notes"]
    assert notes[0] == "2 of 5 database codes have no label, so they are never relevant."
    notes = evaluate(query_labels=np.array([0, -1]))["notes"]
    assert notes[0].startswith("1 of 2 queries have a negative class id")


def test_queries_that_are_in_a_database_of_distinct_codes_are_hinted_at(evaluate):
    rng = np.random.default_rng(0)
    database, labels = rng.choice([-1, 1], (60, 24)), rng.integers(0, 3, 60)
    arrays = {"database_codes": database, "database_labels": labels}
    leaked = evaluate(query_codes=database[:12], query_labels=labels[:12], **arrays)
    assert leaked["twins"]["same_code_and_labels"] == 12
    assert "Check whether the queries are in the database" in leaked["notes"][-1]
    # Good codes that are alike within a class give no hint, although all queries have twins.
    alike = {"query_codes": database[labels[:12]], "database_codes": database[labels]}
    healthy = evaluate(**alike, query_labels=labels[:12], database_labels=labels)
    assert healthy["twins"]["same_code_and_labels"] == 12
    assert not healthy["notes"]


@pytest.mark.slow
def test_the_page_and_the_figures_are_written(tmp_path, capsys):
    page, figures = tmp_path / "page.html", tmp_path / "new" / "figures"
    arguments = write_arrays(tmp_path)
    assert hashnet("evaluate", *arguments, "--html", page, "--figures", figures) == 0
    names = {"precision_recall", "precision_at_n", "hamming_radius", "distances"}
    files = {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert {path.name for path in figures.iterdir()} == files
    assert (figures / "precision_recall.png").read_bytes().startswith(b"\x89PNG")
    html = page.read_text().replace("<wbr>", "")
    assert "2 queries against 5 codes of 3 bits" in html
    assert html.count("<figure") == 4
    assert "google-landmarks" in html
    assert '<td data-value="0">0</td>' in html  # the queries without a hit
    assert "$" not in re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)


def test_the_files_of_a_run_are_evaluated_like_the_run(tmp_path, capsys):
    arrays = {
        **{"query_codes": np.packbits(QUERIES > 0, axis=1), "query_labels": QUERY_LABELS},
        **{"database_codes": np.packbits(DATABASE > 0, axis=1)},
        **{"database_labels": DATABASE_LABELS, "names": np.array(["a"], object)},
    }
    path = tmp_path / "codes.npz"
    np.savez(path, **arrays)
    options = []
    for part, what in itertools.product(("query", "database"), ("codes", "labels")):
        options += [f"--{part}-{what}", f"{path}:{part}_{what}"]
    assert hashnet("evaluate", *options, "--bits", 3, "--json") == 0
    packed = json.loads(capsys.readouterr().out)
    assert hashnet("evaluate", *write_arrays(tmp_path), "--json") == 0
    assert packed["map"] == json.loads(capsys.readouterr().out)["map"]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"query_labels": np.zeros(3, int)}, "", "query_codes.npy has 2 codes"),
        ({"database_labels": np.zeros(3, int)}, "", "If the codes are the columns of this array"),
        ({"database_labels": HOT[DATABASE_LABELS]}, "", "has multi-hot labels of 3 classes"),
        (
            {"query_labels": np.eye(2, dtype=int), "database_labels": HOT[DATABASE_LABELS]},
            "",
            "has multi-hot labels of 2 classes",
        ),
        ({"query_codes": np.ones((2, 4), int)}, "", "must have the same number of bits"),
        ({}, "--bits 4", "must have 4 columns, or be uint8 with 1 columns if packed"),
        ({}, "--bits 0", "--bits must be >= 1, got 0"),
        ({}, "--cutoff 0", "--cutoff must be >= 1, got 0"),
        ({}, "--html nowhere/page.html", "--html must be in an existing folder"),
    ],
)
def test_files_that_do_not_match_are_refused_with_one_line(
    arrays, options, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert hashnet("evaluate", *write_arrays(tmp_path, **arrays), *options.split()) == 1
    error = capsys.readouterr().err
    assert error.startswith("hashnet evaluate: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_cutoff_is_a_number_or_all_and_a_convention_is_known(tmp_path, capsys):
    for options, message in (
        (["--cutoff", "some"], "must be an integer or all, got 'some'"),
        (["--convention", "mine"], "invalid choice: 'mine'"),
    ):
        with pytest.raises(SystemExit):
            hashnet("evaluate", *write_arrays(tmp_path), *options)
        assert message in capsys.readouterr().err
