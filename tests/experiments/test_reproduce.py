"""Tests for `experiments/reproduce.py`, including interruptions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import reproduce

ROOT = Path(__file__).parents[2]
QUICK = ("--batch-size", "8", "--check-overlap", "never", "--no-report")


@pytest.mark.slow
def test_the_table_contains_every_run_and_continues_after_an_interruption(tmp_path, capsys):
    out = tmp_path / "out"
    args = ["--bits", "12", "--variants", "hashnet", "hashnet-w", "--seeds", "0", "1"]
    args += ["--out", str(out), "--", "--steps", "4", *QUICK]
    assert reproduce.main(args) == 0
    content = json.loads((out / "table.json").read_text())
    assert [(row["method"], row["bits"], len(row["map"])) for row in content] == [
        ("hashnet", 12, 2),
        ("hashnet-w", 12, 2),
    ]
    table = (out / "table.md").read_text()
    assert "MAP@all, expected over ties" in table
    assert "| hashnet-w | 0." in table
    assert table in capsys.readouterr().out

    # Simulate that the study was killed before one run finished.
    (out / "hashnet-w-12bits-seed1" / "result.json").unlink()
    kept = out / "hashnet-12bits-seed0" / "result.json"
    before = kept.stat().st_mtime_ns
    assert reproduce.main(args) == 0
    assert (out / "table.md").read_text() == table
    assert kept.stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("already finished") == 3

    with pytest.raises(SystemExit):
        reproduce.main([*args, "--split-seed", "9"])
    assert "with --split-seed 9, because its config must not change" in capsys.readouterr().err


@pytest.mark.slow
def test_baselines_are_listed_beside_the_runs(tmp_path):
    pytest.importorskip("faiss")
    args = ["--bits", "12", "--variants", "hashnet", "--seeds", "0", "--baselines", "lsh"]
    assert reproduce.main([*args, "--out", str(tmp_path), "--", "--steps", "2", *QUICK]) == 0
    content = json.loads((tmp_path / "table.json").read_text())
    assert [row["method"] for row in content] == ["hashnet", "lsh"]
    assert 0.1 < content[1]["map"][0] < 1


def test_a_missing_library_of_a_baseline_is_reported_before_the_first_run(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert reproduce.main(["--baselines", "lsh", "--out", str(tmp_path / "out")]) == 1
    assert "faiss is needed to compute LSH" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("program", [["experiments/reproduce.py"], ["-m", "experiments.reproduce"]])
def test_it_runs_as_a_script_and_as_a_module(program):
    result = subprocess.run(
        [sys.executable, *program, "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "--baselines" in result.stdout
