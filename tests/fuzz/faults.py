"""Lets the nth call to the operating system fail, for every n, while something is written.

::

    python -m tests.fuzz.faults [--every N] [--only NAME] [--python]

After each fault the folder must hold the old or the new state, and repeating the call must give the
new one. Each point is tried twice: once with a single I/O error, and once with a disk that is full
from then on. By default the calls of libc fail, which includes those of orbax, tensorstore and
LanceDB; this needs a C compiler. With ``--python`` only those of Python's own functions do.
"""

import argparse
import contextlib
import dataclasses
import errno
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hashnet_jax.cli._background_errors import hold_back
from tests.fuzz.inject import VARIABLE, NativeFaults, PythonFaults, preloaded
from tests.fuzz.writing import operations

# What the programs report in one line; see hashnet_jax.cli.
REPORTED = (ValueError, FloatingPointError, OSError, ModuleNotFoundError)
KINDS = {"I/O error": (errno.EIO, False), "full disk": (errno.ENOSPC, True)}


@dataclasses.dataclass
class Outcome:
    """Counts of the points of an operation.

    Attributes:
      states: counts of "old", "new", "none" and "mixed" after the fault.
      problems: descriptions of what was not as it must be.
      survived: number of points at which the call succeeded in spite of the fault.
    """

    points: int = 0
    states: Counter = dataclasses.field(default_factory=Counter)
    problems: list[str] = dataclasses.field(default_factory=list)
    survived: int = 0


def probe(operation, folder, faults, *, every=1):
    """Tries every point of an operation.

    Args:
      operation: the operation.
      folder: a folder for the trials.
      faults: injects the faults.
      every: tries only every so many points.
    """
    outcome = Outcome()
    template, place = folder / "template", folder / "place"
    folder.mkdir(parents=True)
    operation.prepare(template)
    _reset(template, place)
    old = operation.state(place)
    with faults.armed(place, -1):
        operation.act(place)
    new, calls = operation.state(place), faults.calls
    assert new != old
    for kind, (number, lasting) in KINDS.items():
        for nth in range(1, calls + 1, every):
            _reset(template, place)
            outcome.points += 1
            problem = _fault(operation, place, faults, outcome, (nth, number, lasting))
            after = operation.state(place)
            known = [("old", old), ("new", new), ("none", None)]
            state = next((name for name, content in known if after == content), "mixed")
            outcome.states[state] += 1
            if state == "mixed":
                problem = problem or "mixed"
            with contextlib.suppress(*REPORTED):
                operation.act(place)
            if operation.state(place) != new:
                problem = problem or "repeating it does not give the new state"
            if problem:
                outcome.problems.append(f"{kind} at call {nth} of {calls}: {problem}")
    return outcome


def _reset(template, place):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)


def _fault(operation, place, faults, outcome, fault):
    """Acts with a fault, and returns a description if the error is not clear."""
    try:
        with faults.armed(place, *fault):
            operation.act(place)
    except REPORTED as error:
        return None if str(place) in str(error) else f"no file is named: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    outcome.survived += 1
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="try only every so many points")
    parser.add_argument("--only", help="try only this operation")
    parser.add_argument("--python", action="store_true", help="replace only Python's functions")
    args = parser.parse_args()
    hold_back()
    with tempfile.TemporaryDirectory() as folder:
        if not args.python and VARIABLE not in os.environ:
            command = [sys.executable, "-m", "tests.fuzz.faults", *sys.argv[1:]]
            os.execve(sys.executable, command, preloaded(tempfile.mkdtemp()))
        faults = PythonFaults() if args.python else NativeFaults()
        print("| operation | points | old | new | none | mixed | survived | problems |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        problems = []
        for name, prepare in operations(Path(folder)).items():
            if args.only not in (None, name):
                continue
            place = Path(folder, name.replace(" ", "-") + "-trials")
            outcome = probe(prepare(), place, faults, every=args.every)
            counts = [outcome.states[state] for state in ("old", "new", "none", "mixed")]
            row = [name, outcome.points, *counts, outcome.survived, len(outcome.problems)]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
            problems += [f"{name}: {problem}" for problem in outcome.problems]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
