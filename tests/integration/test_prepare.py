"""Tests preparing ImageNet from its archives; needs an environment with the `prepare` extra."""

import json
import subprocess
import sys

from tests.integration import ROOT, SHARED


def test_imagenet100_is_prepared_from_the_archives_and_then_read(tmp_path):
    program = ROOT / "experiments" / "run.py"
    result = subprocess.run(
        [
            *(sys.executable, program, "--dataset", "imagenet100", "--data-dir", tmp_path / "tfds"),
            *("--manual-dir", SHARED / "data" / "ilsvrc2012", "--run-dir", tmp_path / "run"),
            *("--backbone", "small_cnn", "--image-size", "32", "--steps", "2", "--no-report"),
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    sizes = json.loads((tmp_path / "run" / "result.json").read_text())["sizes"]
    assert (sizes["query"], sizes["database"]) == (294, 1518)
