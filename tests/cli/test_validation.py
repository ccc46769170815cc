"""Tests that validation images are evaluated with the cut-off of the protocol."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.cli import _results
from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._run import Run
from hashnet_jax.cli._validation import describe_validation, validation_cutoff, validation_record
from hashnet_jax.configs import CONFIGS
from hashnet_jax.data import ArraySource, Dataset, Split
from hashnet_jax.metrics import evaluate
from hashnet_jax.training import RunFolder

BITS = 8
SPLIT = Split(query=[0], train=range(5, 30), database=range(1, 30), validation=range(1, 5))


@pytest.fixture
def run_with(tmp_path):
    """A function that returns a run with the given cut-off, on random labels."""
    labels = np.random.default_rng(0).integers(0, 3, 30)
    source = ArraySource(np.zeros((30, 8, 8, 3), np.uint8))
    dataset = Dataset("digits", source, labels, ("a", "b", "c"), SPLIT)

    def run(cutoff, **fields):
        model = dataclasses.replace(CONFIGS["digits"].model, bits=BITS)
        fields = {"validate_every": 10, "select": "best"} | fields
        config = dataclasses.replace(CONFIGS["digits"], model=model, cutoff=cutoff, **fields)
        folder = RunFolder(tmp_path / "run")
        return Run(config, folder, dataset, (jax.devices()[0],), Execution(), config.to_json())

    return run


@pytest.fixture
def codes(monkeypatch):
    """The packed codes that replace those of the network."""
    codes = np.random.default_rng(1).integers(0, 256, (30, 1), np.uint8)
    monkeypatch.setattr(_results, "encode", lambda run, params, indices: codes[indices])
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("cutoff", [3, 25, 1000, None])
def test_validation_uses_the_cutoff_of_the_run(cutoff, run_with, codes):
    run = run_with(cutoff)
    params = hashnet_jax.init(jax.random.key(0), run.config.model)
    labels = run.dataset.labels
    sets = codes[SPLIT.validation], codes[SPLIT.train]
    pair = labels[SPLIT.validation], labels[SPLIT.train]

    def map_at(own):
        return evaluate(*sets, *pair, bits=BITS, cutoff=own).mean_average_precision.expected

    score = _results.validator(run)(params)
    assert score == map_at(cutoff)
    assert map_at(1000) == map_at(25) == map_at(None) != map_at(3)


def test_the_description_names_the_cutoff_and_says_if_it_exceeds_the_training_images(run_with):
    (line,) = describe_validation(run_with(3))
    assert line == (
        "validation: MAP@3 every 10 steps, 4 validation images against 25 training images"
    )
    (line,) = describe_validation(run_with(1000))
    assert line.endswith("against 25 training images; R is larger, so all 25 are ranked")
    (line,) = describe_validation(run_with(None))
    assert line.startswith("validation: MAP@all every 10 steps")
    assert not list(describe_validation(run_with(3, validate_every=0, select="last")))


def test_the_result_records_the_cutoff(run_with):
    record = {"cutoff": 3, "queries": 4, "database": 25, "select": "best"}
    assert validation_record(run_with(3)) == {"validation": record}
    assert validation_record(run_with(3, validate_every=0, select="last")) == {}


def test_a_run_that_was_validated_without_a_cutoff_continues_without(run_with):
    path = run_with(3).folder.path / "metrics.jsonl"
    runs = {cutoff: run_with(cutoff) for cutoff in (3, None)}
    path.parent.mkdir()
    logged = {"step": 10, "validation_map": 0.5}
    path.write_text(json.dumps({"step": 10, "loss": 1.0}) + "\n")
    assert validation_cutoff(runs[3]) == 3
    path.write_text(json.dumps(logged | {"validation_cutoff": 3}) + "\n")
    assert validation_cutoff(runs[3]) == 3
    path.write_text(json.dumps(logged) + "\n")
    assert validation_cutoff(runs[3]) is None
    assert not list(describe_validation(runs[None]))[1:]
    line, note = describe_validation(runs[3])
    assert line.startswith("validation: MAP@all")
    assert "continues with MAP@all, although the queries are evaluated with MAP@3" in note
