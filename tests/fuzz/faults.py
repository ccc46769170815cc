"""Lets the nth call to the operating system fail, for every n, while something is written.

::

    python -m tests.fuzz.faults [--every N] [--only NAME] [--python]

After each fault the folder must hold the old or the new state, and repeating the call must give the
new one. Each point is tried twice: once with a single I/O error, and once with a disk that is full
from then on. By default the calls of libc fail, which includes those of orbax, tensorstore and
faiss; this needs a C compiler. With ``--python`` only those of Python's own functions do.
"""

import argparse
import contextlib
import dataclasses
import errno
import io
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import hashnet_jax
from hashnet_jax.cli import main as hashnet
from hashnet_jax.cli._background_errors import hold_back
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.index import Manifest, encode_to_folder, open_index, read_manifest
from hashnet_jax.report._publish import publish
from hashnet_jax.training import Checkpoints, RunFolder, TrainSpec, init_state
from tests.fuzz.inject import VARIABLE, NativeFaults, PythonFaults, preloaded
from tests.support.cli_case import make_pictures, make_run

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
# What the programs report in one line; see hashnet_jax.cli.
REPORTED = (ValueError, FloatingPointError, OSError, ModuleNotFoundError)
KINDS = {"I/O error": (errno.EIO, False), "full disk": (errno.ENOSPC, True)}


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something that is written.

    Attributes:
      prepare: makes a folder in the old state.
      act: brings it from the old state to the new one.
      state: what a reader of the folder gets.
    """

    prepare: Callable[[Path], Any]
    act: Callable[[Path], Any]
    state: Callable[[Path], Any]


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


def visible(folder):
    """The content of all files that are not hidden, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    }


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


def _file():
    return Operation(
        prepare=lambda folder: folder.mkdir() or (folder / "file").write_bytes(b"old"),
        act=lambda folder: write_whole(folder / "file", lambda file: file.write(b"new" * 9000)),
        state=visible,
    )


def _model():
    old, new = (hashnet_jax.init(jax.random.key(seed), SPEC) for seed in range(2))
    return Operation(
        prepare=lambda folder: folder.mkdir() or hashnet_jax.save(folder, old),
        act=lambda folder: hashnet_jax.save(folder, new),
        state=visible,
    )


def _result():
    """The codes and the result of a run, written as `hashnet train` writes them."""
    rng = np.random.default_rng(0)
    arrays = {"query_codes": rng.integers(0, 256, (200, 6), np.uint8)}

    def act(folder):
        with RunFolder(folder, resume=True) as run:
            run.write_arrays("codes.npz", arrays)
            run.write_json("result.json", {"summary": "MAP"})

    def prepare(folder):
        with RunFolder(folder) as run:
            run.write_json("config.json", {})

    return Operation(prepare, act, _if_there_is("result.json"))


def _if_there_is(name):
    """The state of a folder that readers do not accept before it holds a file."""
    return lambda folder: visible(folder) if (folder / name).is_file() else None


def _checkpoint():
    state = init_state(jax.random.key(0), SPEC, TrainSpec(total_steps=9))

    def save(folder, step):
        with contextlib.closing(Checkpoints(folder)) as checkpoints:
            at_step = dataclasses.replace(state, step=state.step + step, beta=state.beta + step)
            checkpoints.save(at_step, position={"next_batch": step})

    def read(folder):
        with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
            restored, position = checkpoints.restore_latest(state)
        leaves = (np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(restored.params.variables))
        return int(restored.step), float(restored.beta), position, b"".join(leaves)

    return Operation(lambda folder: save(folder, 1), lambda folder: save(folder, 2), read)


def _codes(material):
    run, pictures = make_run(material / "run"), make_pictures(material / "pictures", 5)
    (pictures / "broken.png").write_bytes(b"no picture")

    def act(folder):
        with _silence():
            encode_to_folder(
                run, [pictures], folder / "codes", batch_size=2, devices=jax.local_devices()[:1]
            )

    return Operation(lambda folder: folder.mkdir(), act, _if_there_is("codes/manifest.json"))


def _index(material):
    codes = _codes(material)

    def prepare(folder):
        codes.prepare(folder)
        codes.act(folder)

    def act(folder):
        with _silence():
            open_index(folder / "codes", read_manifest(folder / "codes"), "flat")

    # An index without its record is built again.
    return Operation(prepare, act, _if_there_is("codes/flat.faiss.json"))


def _manifest():
    manifests = [
        Manifest.of(
            SPEC, weights_sha256="0" * 64, number=number, batch_size=1, devices=1, inputs=[],
            skipped=[],
        )
        for number in (1, 2)
    ]  # fmt: skip
    return Operation(
        prepare=lambda folder: folder.mkdir() or manifests[0].write(folder),
        act=lambda folder: manifests[1].write(folder),
        state=visible,
    )


def _report():
    """A report that replaces another one; while the files are renamed there is no page."""

    def write(folder, content):
        publish(folder, dict.fromkeys(("card.json", "figures/a.png", "report.html"), content))

    return Operation(
        prepare=lambda folder: folder.mkdir() or write(folder, b"old"),
        act=lambda folder: write(folder, b"new"),
        state=_if_there_is("report.html"),
    )


def _whole_run(material):
    """The end of `hashnet train`: network, codes and result."""
    options = [
        "--steps",
        "4",
        "--bits",
        "12",
        "--batch-size",
        "32",
        "--no-report",
        "--devices",
        "1",
    ]

    def train(*arguments):
        with _silence() as errors:
            status = hashnet(["train", *map(str, arguments)])
        if status:
            raise OSError(errors.getvalue().splitlines()[-1])

    def prepare(folder):
        train("--run-dir", folder, *options)
        for name in ("model.npz", "codes.npz", "result.json"):
            (folder / name).unlink()

    def state(folder):
        files = _if_there_is("result.json")(folder)
        if files is None:
            return None
        return {name: files[name] for name in ("model.npz", "codes.npz", "split.npz")}

    return Operation(prepare, lambda folder: train("--run-dir", folder, "--resume"), state)


@contextlib.contextmanager
def _silence():
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        yield errors


def operations(material):
    """All operations, by name, as functions that prepare them."""
    return {
        "write_whole": _file,
        "model.npz": _model,
        "manifest.json": _manifest,
        "codes.npz and result.json": _result,
        "encode_to_folder": lambda: _codes(material / "for codes"),
        "index": lambda: _index(material / "for index"),
        "report": _report,
        "checkpoint": _checkpoint,
        "end of a run": lambda: _whole_run(material),
    }


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
