"""Tests that `--learning-rate auto` finds a rate once, keeps it, and says what was tried."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from hashnet_jax.cli import _options, _rate
from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._rate import RATE_FILE, with_found_rate
from hashnet_jax.cli._run import Run
from hashnet_jax.configs import CONFIGS
from hashnet_jax.data import ArraySource, Dataset, Split
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.training import CachedFeatures, RateSearch, RunFolder

N = 30
SPLIT = Split(train=range(6, N), query=range(3), database=range(3, N))
SEARCH = RateSearch(
    (0.01, 0.02), ((0.5, 0.6), (0.7, 0.6)), database=(18, 18), held_out=(6, 5), cutoff=None
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    searches = []
    monkeypatch.setattr(
        _rate, "search_learning_rate", lambda *args, **_: searches.append(1) or SEARCH
    )
    labels = np.arange(N) % 3
    source = ArraySource(np.zeros((N, 8, 8, 3), np.uint8))
    dataset = Dataset("digits", source, labels, ("a", "b", "c"), SPLIT)
    args = ("--backbone", "efficientnet_lite0", "--pretrained", "auto", "--freeze-backbone")
    args = _options.parser().parse_args([*args, "--learning-rate", "auto"])
    config = _options.config_of(args)
    features = CachedFeatures(np.zeros((N, 4), np.float32), np.arange(N))
    with RunFolder(tmp_path / "run") as folder:
        run = Run(config, folder, dataset, (jax.devices()[0],), Execution(), {}, features)
        yield run, searches


def test_the_rate_is_found_once_and_said_with_what_was_tried(run, capsys):
    run, searches = run
    assert run.config.train.learning_rate is None
    assert with_found_rate(run).config.train.learning_rate == 0.02
    said = capsys.readouterr().out
    assert said == (
        "learning rate: 0.02, the best of 2 from 0.01 to 0.02 by MAP@all over 2 seeds, "
        "5 to 6 held-out images against 18 others; queries were not used\n"
    )
    assert with_found_rate(run).config.train.learning_rate == 0.02
    assert len(searches) == 1, "an interrupted run continues with the rate that it found"
    assert capsys.readouterr().out == said


def test_a_damaged_file_is_named(run):
    run, _ = run
    with_found_rate(run)
    path = run.folder.path / RATE_FILE
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"learning_rate": 0.5}))
    with pytest.raises(DamagedFile, match=RATE_FILE):
        with_found_rate(run)


def test_auto_requires_a_frozen_backbone():
    train = dataclasses.replace(CONFIGS["digits"].train, learning_rate=None)
    with pytest.raises(ValueError, match="`learning_rate=None` requires a frozen backbone"):
        dataclasses.replace(CONFIGS["digits"], train=train)
