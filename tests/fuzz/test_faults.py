"""Faults of the disk at any moment leave the old or the new state; see faults.py for all points."""

import os
import subprocess
import sys

import pytest

from tests.fuzz.faults import operations, probe
from tests.fuzz.inject import PythonFaults
from tests.support.cli_case import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "every", "least"),
    [
        ("write_whole", 1, 10),
        ("codes.npz and result.json", 1, 20),
        ("model.npz", 25, 5),
        ("report", 3, 20),
        ("index update", 3, 6),
        ("snapshot", 1, 10),
        ("export to faiss", 3, 6),
        ("export to a codes folder", 3, 10),
        ("checkpoint", 12, 4),
    ],
)
def test_after_a_fault_the_old_or_the_new_state_is_there(name, every, least, tmp_path):
    if name in ("index update", "snapshot") or name.startswith("export"):
        pytest.importorskip("lancedb")
    if name == "export to faiss":
        pytest.importorskip("faiss")
    outcome = probe(operations(tmp_path)[name](), tmp_path / "trials", PythonFaults(), every=every)
    assert outcome.problems == []
    assert outcome.states["mixed"] == 0
    assert sum(outcome.states.values()) == outcome.points >= least


@pytest.mark.slow
def test_a_full_disk_ends_training_in_one_line_that_names_the_folder(tmp_path):
    run = tmp_path / "run"
    options = [
        "--steps",
        "8",
        "--checkpoint-every",
        "2",
        "--bits",
        "12",
        "--batch-size",
        "32",
        "--check-overlap",
        "never",
    ]
    # Fails like a full disk, but needs no rights to mount one.
    limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", sys.executable]
    # Coverage, if it is measured, could not write its data either.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [*limited, "-m", "hashnet_jax.cli", "train", "--run-dir", run, *options],
        env=environment | {"PYTHONPATH": str(ROOT), "JAX_ENABLE_COMPILATION_CACHE": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert lines == [
        f"hashnet train: error: [Errno 27] File too large: '{run.resolve() / 'checkpoints'}'"
    ]
