"""The readers of finished runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

import hashnet_jax
from hashnet_jax import report
from tests.fuzz.read_unfinished import Stopped, stopped_at_first_step
from tests.fuzz.reader import Reader, command, digest, tree, without

FILES = ("config.json", "result.json", "metrics.jsonl", "model.npz", "codes.npz", "split.npz",
         "overlaps.json")  # fmt: skip


def _load(case: Path, world: Path) -> Any:
    params = hashnet_jax.load(case / "run")
    return digest([params.spec, jax.tree.leaves(params.variables)])


def _finished(case: Path, world: Path) -> Any:
    run = report.read_finished_run(case / "run")
    parts = [run.config, run.result, run.history, tuple(run.query), tuple(run.database)]
    card = report.protocol_card(run)
    card["provenance"].pop("result_sha256")  # a blank line at the end of the file changes it
    if not card["provenance"].get("is_verified", True):
        print("cannot be verified")
    return digest([*parts, card])


def _card(case: Path, world: Path) -> Any:
    return command(case, "report", case / "run", "--card")


def _info_run(case: Path, world: Path) -> Any:
    return command(case, "info", case / "run")


def _again(case: Path, world: Path) -> Any:
    """Repeats the command of a finished run, which says that its results are there."""
    with stopped_at_first_step():
        try:
            said = command(case, "train", "--run-dir", case / "run", "--resume", "--no-report")
        except Stopped:
            return "trains again"
    files = tree(case / "run")
    return [said, [files.get(name) for name in FILES[:5]]]


def finished_runs(suffix: str, folder: str, *, is_old: bool) -> Iterator[Reader]:
    """The readers of the folder of a finished run."""
    run, other = {"run": folder}, {"run": f"{folder}_x"}
    files = tuple(f"run/{name}" for name in FILES)
    yield Reader(f"load{suffix}", run, files[3:4], _load, other, is_old=is_old,
                 others_right=("stranger", "member array"))  # fmt: skip
    for name, read in (("read_finished_run", _finished), ("report --card", _card)):
        yield Reader(f"{name}{suffix}", run, files, read, other, is_old=is_old)
    yield Reader(f"info run{suffix}", run, files[:4], _info_run, other, is_old=is_old,
                 also=(without("run/result.json"),))  # fmt: skip
    yield Reader(f"train, finished{suffix}", run, files, _again, other, is_old=is_old,
                 also=(without("run/result.json"),))  # fmt: skip
