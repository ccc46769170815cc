"""Runs the tests of losses, metrics, schedules, hamming and codes on mutants of these files.

    pip install cosmic-ray
    nice python -m tests.mutation.run --sample 300 --seed 0 --json build/mutants.json

The mutants are cosmic-ray's. Its own runner starts a process per mutant, which spends most of its
time on importing JAX, so this one imports the libraries once and forks a process per mutant, before
JAX starts any thread. The mutated file exists only in that process. Survivors are explained in
`tests/mutation/survivors.md`.
"""

import argparse
import collections
import dataclasses
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Before jax is imported: the devices that the tests expect, and a cache, since most mutants change
# nothing in most compiled programs.
CACHE = tempfile.TemporaryDirectory(prefix="hashnet-jax-mutants-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE.name)
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
    " --xla_llvm_disable_expensive_passes=true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
}

from tests.mutation.mutants import Mutant, mutants_of  # noqa: E402

# What the tests import, except the package.
LIBRARIES = (
    *("jax", "jax.numpy", "jax.export", "jaxtyping", "numpy", "flax.linen", "optax"),
    *("orbax.checkpoint", "grain", "PIL.Image", "sklearn.metrics", "pytest", "hypothesis"),
)
# Tests of a file, the quickest first; its own doctests come before them.
TESTS = {
    "codes": ("tests/test_codes.py",),
    "hamming": ("tests/hamming",),
    "schedules": ("tests/test_schedules.py",),
    "losses": ("tests/losses",),
    "metrics": (
        "tests/metrics/test_values.py",
        "tests/metrics/test_code_statistics.py",
        "tests/metrics/test_registry.py",
        "tests/metrics/test_curves.py",
        "tests/metrics/test_counts.py",
        "tests/metrics/test_mean_average_precision.py",
        "tests/metrics/test_average_precision.py",
        "tests/metrics/test_scores.py",
    ),
}
# It tests the checks of types, which are off.
DESELECTED = "tests/losses/test_losses.py::test_run_time_checks_of_the_tests_catch"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed, survived or timeout."""

    mutant: str
    difference: str
    outcome: str
    seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Tests every mutant, or a sample, and prints those that survive."""
    options = _parser().parse_args(argv)
    os.chdir(ROOT)
    for library in LIBRARIES:
        importlib.import_module(library)
    mutants = _chosen(options)
    _check_healthy(mutants, options.timeout)
    outcomes = []
    for i, mutant in enumerate(mutants, 1):
        outcomes.append(_tested(mutant, options.timeout))
        found = outcomes[-1]
        if found.outcome != "killed":
            print(f"{found.outcome}: {found.mutant}\n    {found.difference}", flush=True)
        if i % 20 == 0:
            print(f"{i} of {len(mutants)}", flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps([vars(o) for o in outcomes], indent=1))
    _print_table(outcomes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, help="number of mutants of all rooms, default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=int, default=120, help="CPU seconds per mutant")
    parser.add_argument("--json", help="file for the outcomes")
    parser.add_argument("--only", nargs="*", help="names of mutants, as printed")
    return parser


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    mutants = [
        mutant
        for room in TESTS
        for path in _files(room)
        for mutant in mutants_of(path, options.seed)
    ]
    print(f"{len(mutants)} mutants", flush=True)
    if options.only:
        return [mutant for mutant in mutants if mutant.name in options.only]
    if options.sample is not None and options.sample < len(mutants):
        mutants = sorted(random.Random(options.seed).sample(mutants, options.sample))
    return [mutant for mutant in mutants if _room(mutant.path) in (options.rooms or TESTS)]


def _files(room: str) -> list[str]:
    folder = Path("hashnet_jax", room)
    return [str(path) for path in sorted(folder.glob("*.py"))] or [f"{folder}.py"]


def _check_healthy(mutants: Sequence[Mutant], timeout: int) -> None:
    """Runs the tests on the files as they are, which also fills the compilation cache."""
    for room in sorted({_room(mutant.path) for mutant in mutants}):
        start = time.monotonic()
        if _outcome([*_files(room), *TESTS[room]], None, 10 * timeout, sys.stdout.fileno()) != 0:
            sys.exit(f"the tests of {room} fail without a mutation")
        print(f"{room}: {time.monotonic() - start:.0f} s without a mutation", flush=True)


def _tested(mutant: Mutant, timeout: int) -> Outcome:
    start = time.monotonic()
    with open(os.devnull, "w") as nowhere:
        tests = [mutant.path, *TESTS[_room(mutant.path)]]
        status = _outcome(tests, mutant, timeout, nowhere.fileno())
    outcome = {0: "survived", None: "timeout"}.get(status, "killed")
    seconds = round(time.monotonic() - start, 1)
    return Outcome(mutant.name, mutant.difference(), outcome, seconds)


def _room(path: str) -> str:
    return Path(path).with_suffix("").parts[1]


def _outcome(tests: Sequence[str], mutant: Mutant | None, timeout: int, output: int) -> int | None:
    """The status of the tests in a forked process, or ``None`` if they ran out of CPU time."""
    child = os.fork()
    if child == 0:
        _run_child(tests, mutant, timeout, output)
    # A mutant may also wait forever. The machine may be busy with other things.
    deadline = time.monotonic() + 20 * timeout
    while time.monotonic() < deadline:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            out_of_time = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            return None if out_of_time else status
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run_child(tests: Sequence[str], mutant: Mutant | None, timeout: int, output: int) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (timeout, timeout + 1))
        sys.stdout = sys.stderr = os.fdopen(output, "w", closefd=False)
        if mutant is not None:
            sys.meta_path.insert(0, _MutatedFinder(mutant))
        import pytest

        arguments = ["-c", "tests/mutation/pytest.ini", "--rootdir", str(ROOT)]
        arguments += ["--deselect", DESELECTED, *tests]
        # Property tests are the slowest, so they come last. Status 5 means no tests.
        for marks in ("not hypothesis", "hypothesis"):
            status = int(pytest.main([*arguments, "-m", marks]))
            if status not in (0, 5):
                break
            status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


class _MutatedFinder(importlib.machinery.SourceFileLoader):
    """Finds and loads the mutated file under its own name; leaves every other file alone."""

    def __init__(self, mutant: Mutant) -> None:
        name = ".".join(Path(mutant.path).with_suffix("").parts).removesuffix(".__init__")
        super().__init__(name, str(ROOT / mutant.path))
        self._source = mutant.source()

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self._source, self.path, "exec")


def _print_table(outcomes: list[Outcome]) -> None:
    counts: dict[str, collections.Counter[str]] = {}
    for outcome in outcomes:
        file = outcome.mutant.split(":")[0]
        counts.setdefault(file, collections.Counter())[outcome.outcome] += 1
    for file, by_outcome in sorted(counts.items()):
        print(f"{file:45} {dict(by_outcome)}")
    print(dict(sum(counts.values(), collections.Counter())))


if __name__ == "__main__":
    main()
