"""The programs that are killed: their phases, told from their folders, and their results."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
STEPS = 60
TRAIN = (
    "--steps", str(STEPS), "--bits", "16", "--batch-size", "32", "--checkpoint-every", "5",
    "--validate-every", "20", "--validation-per-class", "2", "--select", "best",
)  # fmt: skip
PICTURES, DISTINCT_PICTURES, SIDE = 1500, 30, 320

# In the order in which a program goes through them, with the shares of the kills that are aimed at
# them. To reach the report takes longest.
TRAIN_PHASES = {
    "start": 2, "compile": 3, "training": 4, "checkpoint": 4, "evaluation": 2, "report": 1,
}  # fmt: skip
ENCODE_PHASES = {"start": 1, "listing": 1, "encode": 4, "publish": 1}
# Differ from run to run: times, folders, and the hashes of files that contain them.
OWN = {
    *("seconds", "sha256", "run", "working_folder", "run_folder", "data.json", "result_sha256"),
    "report.html",
}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is killed.

    Attributes:
      name: "train" or "encode".
      phases: its phases, in order, with the shares of the kills.
      command: function ``folder -> arguments`` that starts it, or continues it.
      phase: function ``(folder, time of the start) -> phase``; "done" at the end.
      compare: function ``(folder, whole folder) -> differences``, each with a number of bits.
    """

    name: str
    phases: dict[str, int]
    command: Callable[[Path], list[str]]
    phase: Callable[[Path, float], str]
    compare: Callable[[Path, Path], dict[str, int]]


def trainer(devices: int) -> Program:
    """Training by `experiments/run.py`."""
    run = [sys.executable, str(ROOT / "experiments" / "run.py"), "--devices", str(devices)]

    def command(path: Path) -> list[str]:
        has_started = (path / "config.json").is_file()
        return [*run, "--run-dir", str(path), *(["--resume"] if has_started else TRAIN)]

    return Program("train", TRAIN_PHASES, command, train_phase, compare_runs)


def encoder(devices: int, run: Path, pictures: Path) -> Program:
    """`hashnet encode` with the network of a run."""
    start = [sys.executable, "-m", "hashnet_jax.cli", "encode", str(run), str(pictures)]
    options = ["--batch-size", "32", "--devices", str(devices)]

    def command(path: Path) -> list[str]:
        return [*start, "-o", str(path), *options]

    return Program("encode", ENCODE_PHASES, command, encode_phase, compare_codes)


def write_pictures(folder: Path) -> None:
    """Writes pictures, most of which are links to the first ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        path = folder / f"{i:05}.jpg"
        if i >= DISTINCT_PICTURES:
            os.link(folder / f"{i % DISTINCT_PICTURES:05}.jpg", path)
            continue
        blots = Image.fromarray(rng.integers(0, 256, (6, 6, 3)).astype(np.uint8))
        blots.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)


def train_phase(run: Path, began: float) -> str:
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


def encode_phase(output: Path, began: float) -> str:
    """The phase of `hashnet encode`, told from its folder; see :func:`train_phase`."""
    if (output / "manifest.json").is_file():
        return "done"
    partial = output / ".partial"
    if (output / "codes.npy").is_file():
        return "publish"
    journal = _time(partial / "journal.json")
    if journal is None:
        return "listing" if partial.is_dir() else "start"
    if journal < began:
        return "start" if (_time(partial / "lock") or -1) < began else "encode"
    try:
        content = json.loads((partial / "journal.json").read_text())
    except FileNotFoundError:
        return "publish"
    return "publish" if content["done"] == content["listed"] else "encode"


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


def compare_codes(codes: Path, whole: Path) -> dict[str, int]:
    """Counts the bits that differ between the files of two folders of codes."""
    names = {path.name for path in (*codes.iterdir(), *whole.iterdir())}
    return {
        name: differing_bits(_bytes(codes / name), _bytes(whole / name))
        for name in sorted(names)
        if not name.startswith(".")
    }


def _bytes(path: Path) -> dict[str, np.ndarray]:
    return {"": np.frombuffer(path.read_bytes(), np.uint8)} if path.is_file() else {}


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
