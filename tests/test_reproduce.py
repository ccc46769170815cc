"""The table of variants, and the shallow baselines beside it."""

import json

import jax
import numpy as np
import pytest
import reproduce
from baselines import evaluate_baselines

import hashnet_jax
from hashnet_jax.data.dataset import Dataset
from hashnet_jax.data.protocols import per_class_split
from hashnet_jax.data.sources import ArraySource
from hashnet_jax.features import cached_features
from hashnet_jax.parallel import local_devices


def test_the_table_holds_every_run_and_goes_on_where_it_was_stopped(tmp_path, capsys):
    out = tmp_path / "out"
    args = ["--bits", "12", "--variants", "hashnet", "hashnet-w", "--seeds", "0", "1"]
    args += ["--out", str(out), "--", "--steps", "4", "--no-report"]
    reproduce.main(args)
    content = json.loads((out / "table.json").read_text())
    assert [(row["method"], row["bits"], len(row["map"])) for row in content] == [
        ("hashnet", 12, 2),
        ("hashnet-w", 12, 2),
    ]
    table = (out / "table.md").read_text()
    assert "MAP@all, ties expected" in table
    assert "| hashnet-w | 0." in table
    assert table in capsys.readouterr().out

    # As if it had been killed before one run ended.
    (out / "hashnet-w-12bits-seed1" / "result.json").unlink()
    kept = out / "hashnet-12bits-seed0" / "result.json"
    before = kept.stat().st_mtime_ns
    reproduce.main(args)
    assert (out / "table.md").read_text() == table
    assert kept.stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("already finished") == 3

    with pytest.raises(SystemExit):
        reproduce.main([*args, "--split-seed", "9"])
    assert "got --split-seed 9" in capsys.readouterr().err


def test_baselines_find_classes_that_features_tell_apart(tmp_path):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    # Each class is a brightness: the least that random features must tell apart.
    images = np.clip(rng.normal(60 + 70 * labels[:, None, None, None], 8, (120, 8, 8, 3)), 0, 255)
    split = per_class_split(labels, queries=5, train=30)
    dataset = Dataset("tiny", ArraySource(images.astype(np.uint8)), labels, ("a", "b", "c"), split)
    spec = hashnet_jax.ModelSpec("small_cnn", image_size=8, resize=8)
    params = hashnet_jax.init(jax.random.key(0), spec)
    features = cached_features(tmp_path, params, dataset, devices=local_devices(1))
    results = evaluate_baselines(
        features, dataset, ["lsh", "itq"], bits=[12, 16], cutoff=None, seed=0
    )
    assert results.keys() == {("lsh", 12), ("lsh", 16), ("itq", 12), ("itq", 16)}
    assert all(result.expected > 0.7 for result in results.values())
    with pytest.raises(ValueError, match="fewer bits"):
        evaluate_baselines(features, dataset, ["itq"], bits=[512], cutoff=None, seed=0)
