"""Tests that the protocol card agrees with the files of the run, and tests its text."""

import json
import re

import pytest

from hashnet_jax.cli import main
from hashnet_jax.report import card_text, protocol_card, read_finished_run
from hashnet_jax.training import RunFolder

pytestmark = pytest.mark.slow


def words(card):
    return " ".join(card_text(card).split())


def test_the_card_agrees_with_result_json(made):
    result, card = (
        json.loads((made.folder / f"{name}.json").read_text()) for name in ("result", "card")
    )
    for name in ("overlaps", "notes", "sizes"):
        assert card["data"][name] == result[name]
    for name in ("variant", "recipe", "learning_rate"):
        assert card["training"][name] == result[name]
    assert result["map"].items() <= card["retrieval"].items()
    for name in ("codes", "distinct", "constant_bits", "alarms"):
        assert card["codes"][name] == result["codes"][name]
    for name in ("versions", "devices", "seconds"):
        assert card["provenance"][name] == result[name]
    assert card["provenance"]["run"] == made.folder.name
    last = json.loads((made.folder / "metrics.jsonl").read_text().splitlines()[-2])
    logged = ("beta", "loss", "binary_loss", "quantization_gap")
    assert {name: card["training"][name] for name in logged}.items() <= last.items()


def test_the_card_lists_overlaps_and_notes(made):
    text = words(protocol_card(read_finished_run(made.folder)))
    if made.dataset.name == "digits":
        assert "query in database 0 with the same index; 0 copies under other names" in text
    else:
        assert "Overlap, train in database 40 with the same index; copies under other" in text
        assert "Note made for a test." in text


def test_the_card_says_how_the_backbone_was_trained(made):
    card = protocol_card(read_finished_run(made.folder))
    assert "from random weights, train mode" in words(card)
    assert "Augmentation" in words(card)
    card["training"] |= {"pretrained_sha256": "57934424" + 56 * "0", "backbone_mode": "inference"}
    assert "from weights 57934424…, inference mode" in words(card)
    card["training"]["frozen"] = True
    assert "weights 57934424…, frozen" in words(card)


def test_the_card_says_that_training_has_not_seen_the_classes(made):
    card = protocol_card(read_finished_run(made.folder))
    assert card["data"]["unseen_classes"] == 0
    assert "unseen" not in words(card)
    assert "seen in training" not in words(card)
    card["data"]["unseen_classes"] = 3
    assert "per image; none of them was seen in training" in words(card)


def test_the_card_says_which_map_selected_the_checkpoint(made):
    card = protocol_card(read_finished_run(made.folder))
    assert "Checkpoint" not in words(card)
    validation = {"cutoff": 1000, "queries": 50, "database": 900, "select": "best"}
    card["training"]["validation"] = validation
    against = "(50 images against 900 training images)"
    assert f"Checkpoint selected by validation MAP@1000 {against}" in words(card)
    validation |= {"cutoff": None, "select": "last"}
    assert f"Checkpoint not selected by validation MAP@all {against}" in words(card)


def test_registered_metrics_of_the_run_are_in_the_card(collapsed):
    assert protocol_card(read_finished_run(collapsed.folder))["retrieval"]["metrics"] == {}
    metrics = {"precision_within_radius_2": 0.1, "precision_at_5": 0.25}
    with RunFolder(collapsed.folder, resume=True) as folder:
        folder.write_json("result.json", folder.read_json("result.json") | {"metrics": metrics})
    card = protocol_card(read_finished_run(collapsed.folder))
    assert card["retrieval"]["metrics"] == metrics
    assert "Precision at 5 0.2500" in words(card)
    assert words(card).lower().count("within radius 2") == 0  # already shown with the Hamming ball


def test_the_card_is_printed_and_nothing_is_written(collapsed, capsys):
    before = sorted(collapsed.folder.iterdir())
    assert main(["report", str(collapsed.folder), "--card"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("MAP@all = ")
    assert re.search(r"Collapse alarm +COLLAPSED: fewer distinct", printed)
    assert sorted(collapsed.folder.iterdir()) == before
