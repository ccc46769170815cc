"""Runs each contender of a suite alone in fresh processes, as users would run it.

In one process, contenders affect each other: their threads wait actively for work, and freed memory
of one is mapped again for the other. The contenders take turns for several rounds, so that changes
in the speed of the machine affect all of them.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks import roofline, suite_encode, suite_train
from benchmarks.measuring import ROOT, Row, missing, module_command, own_peak

SUITES = {"train": suite_train, "encode": suite_encode}


def run(suite: str, options: argparse.Namespace) -> Iterator[Row]:
    """Yields a row per contender and case, whose ``seconds`` are the medians of the rounds.

    Args:
      suite: one of ``SUITES``.
      options: options of `run.py`, which select the contenders.

    Raises:
      RuntimeError: if this package fails. A peer that fails gets a note.
    """
    names = SUITES[suite].contenders(options)
    contenders = [name for name in names if options.only in (None, name)]
    for backbone in options.backbone:
        found: dict[tuple[str, str], list[Row]] = {}
        for turn in range(options.rounds):
            for name in contenders:
                round_name = f"round {turn + 1} of {options.rounds}"
                print(f"{suite}, {backbone}, {round_name}: {name}", file=sys.stderr, flush=True)
                for row in _measure_alone(suite, name, backbone, options):
                    found.setdefault((row.case, row.by), []).append(row)
        # Cases in order, each with all its contenders.
        for key in sorted(found, key=lambda key: key[0]):
            yield _merged(found[key])


def _measure_alone(suite: str, name: str, backbone: str, options: argparse.Namespace) -> list[Row]:
    settings = vars(options) | {"only": name, "backbone": [backbone], "suite": [suite]}
    command = module_command("alone", json.dumps(settings))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if name == "hashnet_jax":
        raise RuntimeError(f"benchmark {suite} of {backbone} failed: {reason}")
    return [missing(suite, f"{backbone}, batch {options.batch_size}", name, reason[:100])]


def _merged(rounds: Sequence[Row]) -> Row:
    """Merges the rows of one contender over the rounds; several rounds give a time each."""
    failed = [row for row in rounds if not row.seconds]
    if len(rounds) == 1 or failed:
        return (failed or rounds)[0]
    merged = dataclasses.replace(rounds[0], seconds=[row.median for row in rounds])
    merged.compile_seconds = _over(statistics.median, [row.compile_seconds for row in rounds])
    merged.share_of_peak = _over(statistics.median, [row.share_of_peak for row in rounds])
    merged.memory = _over(max, [row.memory for row in rounds])
    merged.busy = _over(max, [row.busy for row in rounds])
    return merged


def _over(function: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return function(known) if known else None


def main(settings: str) -> None:
    """Measures one contender in this process, and prints its rows as JSON."""
    options = argparse.Namespace(**json.loads(settings))
    (suite,), (backbone,) = options.suite, options.backbone
    rows = list(SUITES[suite].run(options))
    for row in rows:
        row.memory = own_peak() if row.seconds else None
    if options.only == "hashnet_jax":
        rows[0].note = roofline.note(suite, backbone, rows[0].items / rows[0].median, options)
    print(json.dumps([dataclasses.asdict(row) for row in rows]))


if __name__ == "__main__":
    main(sys.argv[1])
