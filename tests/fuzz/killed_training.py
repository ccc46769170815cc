"""Training that is killed: its phases, told from its folder, and its results."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
STEPS = 60
TRAIN = (
    "--steps", str(STEPS), "--bits", "16", "--batch-size", "32", "--checkpoint-every", "5",
    "--validate-every", "20", "--validation-per-class", "2", "--select", "best",
)  # fmt: skip

# In the order in which a run goes through them, with the shares of the kills that are aimed at
# them. To reach the report takes longest.
PHASES = {
    "start": 2, "compile": 3, "training": 4, "checkpoint": 4, "evaluation": 2, "report": 1,
}  # fmt: skip
# Differ from run to run: times, folders, and the hashes of files that contain them.
OWN = {
    *("seconds", "sha256", "run", "working_folder", "run_folder", "data.json", "result_sha256"),
    "report.html",
}


def train_command(path: Path, devices: int) -> list[str]:
    """The arguments of `experiments/run.py` that start a run, or resume it."""
    run = [sys.executable, str(ROOT / "experiments" / "run.py"), "--devices", str(devices)]
    has_started = (path / "config.json").is_file()
    return [*run, "--run-dir", str(path), *(["--resume"] if has_started else TRAIN)]


def phase_of(run: Path, began: float) -> str:
    """The phase of a training run, told from its folder.

    Args:
      run: the run's folder.
      began: when the process was started, as `time.time()`; 0 to tell what has been reached.
    """
    if (run / "report.html").is_file():
        return "done"
    if (run / "result.json").is_file():
        return "report"
    if (run / "model.npz").is_file():
        return "evaluation"
    metrics = run / "metrics.jsonl"
    opened = _time(metrics)
    if opened is None or opened < began:
        return "compile" if (_time(run / "config.json") or -1) >= began else "start"
    try:
        steps = [path.name for path in (run / "checkpoints").iterdir()]
        times = [path.stat().st_mtime for path in (run / "checkpoints").iterdir()]
    except FileNotFoundError:  # not there yet, or just removed
        steps, times = [], []
    if str(STEPS) in steps:
        return "evaluation"
    if any("tmp" in step for step in steps):
        return "checkpoint"
    return "training" if any(moment >= began for moment in times) else "compile"


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def compare_runs(run: Path, whole: Path) -> dict[str, int]:
    """Counts the bits that differ between the files of two runs, without what is a run's own."""
    bits = {name: differing_bits(_arrays(run / name), _arrays(whole / name))
            for name in ("model.npz", "codes.npz", "split.npz")}  # fmt: skip
    for name in ("metrics.jsonl", "result.json", "config.json", "overlaps.json", "card.json",
                 "data.json"):  # fmt: skip
        bits[name] = differing_bits(_comparable(run / name), _comparable(whole / name))
    return bits


def differing_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> int:
    """The number of bits that differ between named arrays, counting those that are missing."""
    bits = 0
    for name in got.keys() | expected.keys():
        parts = [part.get(name, np.zeros(0)) for part in (got, expected)]
        a, b = (np.frombuffer(part.tobytes(), np.uint8) for part in parts)
        shared = min(len(a), len(b))
        bits += 8 * (len(a) + len(b) - 2 * shared)
        bits += int(np.bitwise_count(a[:shared] ^ b[:shared]).sum())
    return bits


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _comparable(path: Path) -> dict[str, np.ndarray]:
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    kept = [json.dumps(_drop(json.loads(line)), sort_keys=True) for line in lines]
    return {"": np.frombuffer("\n".join(kept).encode(), np.uint8)}


def _drop(content: Any) -> Any:
    """Removes what differs from run to run."""
    if isinstance(content, dict):
        return {name: _drop(content[name]) for name in content.keys() - OWN}
    return [_drop(item) for item in content] if isinstance(content, list) else content
