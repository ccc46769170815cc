"""Tests the model card of a shared network."""

import json

import pytest

from hashnet_jax.report import model_card, protocol_card, read_finished_run
from hashnet_jax.report._card_text import card_sections


@pytest.fixture
def card(made):
    """The protocol card of a run, whose classes have names that are HTML."""
    return protocol_card(read_finished_run(made.folder))


def text_of(card, **changes):
    options = {"sha256": "0" * 64, "address": "hf://me/net", "license_id": "mit"} | changes
    return model_card(card, **options)


def header_of(text):
    """The values in the YAML header, each of which is JSON."""
    lines = text.split("---\n")[1].splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


def test_the_card_has_every_row_of_the_protocol_card(card):
    text = text_of(card)
    for heading, rows in card_sections(card):
        assert f"\n## {heading}\n" in text
        part = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        assert part.count("\n| ") == len(rows) + 1


def test_the_header_states_the_map_of_the_run(card):
    header = header_of(text_of(card))
    assert header["library_name"] == "hashnet_jax"
    assert header["license"] == "mit"
    (model,) = header["model-index"]
    (result,) = model["results"]
    assert result["metrics"][0]["value"] == card["retrieval"]["expected"]
    assert result["dataset"]["type"] == card["data"]["dataset"]
    assert "license" not in header_of(text_of(card, license_id=None))


def test_without_a_finite_map_the_header_states_none(card):
    undefined = {**card, "retrieval": {**card["retrieval"], "expected": float("nan")}}
    assert "model-index" not in header_of(text_of(undefined))


def test_text_of_the_run_cannot_become_markup(card):
    hostile = "a|b <script>x</script> [link](http://x) `code`\n# heading *b* _i_ $m$ ~s~"
    changed = {**card, "provenance": {**card["provenance"], "run": hostile}}
    text = text_of(changed, license_id="mit\n---\n# no")
    body = text.split("\n---\n", 1)[1]
    assert "<" not in body.replace("<!--", "")
    assert "\n# heading" not in text
    assert "\n# no" not in text
    assert header_of(text)["license"] == "mit\n---\n# no"
    title = next(line for line in body.splitlines() if line.startswith("# "))
    assert not set("|[]`*_$~<>") & set(title)


def test_the_hub_reads_the_header(card):
    cards = pytest.importorskip("huggingface_hub")
    data = cards.ModelCard(text_of(card)).data
    assert data.license == "mit"
    assert data.library_name == "hashnet_jax"
    (result,) = data.eval_results
    assert result.metric_value == card["retrieval"]["expected"]
    assert result.dataset_type == card["data"]["dataset"]
