"""Kills training at random moments, resumes it, and compares with whole runs.

::

    python -m tests.fuzz.kills --kills 200 --devices 1 --json kills-1.json
    python -m tests.fuzz.kills --kills 200 --devices 4 --json kills-4.json

The process group gets SIGKILL, which nothing can catch. In which phase a kill fell is told from
what the folder holds. Each run is killed several times, and resumed until it ends; then its files
must have the same bits as those of a run that was never killed. With several devices they are fake
ones, on the CPU. Updates of a store are killed by :mod:`tests.fuzz.store_kills`.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.killed_training import PHASES, ROOT, compare_runs, phase_of, train_command

SECONDS_BETWEEN_LOOKS = 0.003

# The share of the runs that are left to end, and of the kills during compilation that find no
# compiled functions.
SHARE_LEFT_TO_END, SHARE_COLD = 0.12, 0.4
SECONDS_OF_COLD_COMPILATION = 10.0


def main() -> int:
    """Kills and compares; the exit status is 1 if a bit differs or a run cannot be resumed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all kills to FILE")
    args = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hashnet-kills-") as folder:
        attack = Attack(Path(folder), args.devices, random.Random(args.seed))
        attack.run(args.kills)
    seconds = time.monotonic() - start
    counts = collections.Counter(kill["phase"] for kill in attack.kills)
    for phase, count in counts.most_common():
        print(f"{phase:20} {count:4} kills")
    bits = sum(sum(end["bits"].values()) for end in attack.ends)
    print(
        f"{len(attack.kills)} kills on {args.devices} device(s) in {seconds:.0f} s; "
        f"{len(attack.ends)} runs resumed to their end; {bits} bits differ; "
        f"{len(attack.failures)} failed to resume"
    )
    for failure in attack.failures:
        print(f"failed: {failure}")
    if args.json:
        record = {"kills": attack.kills, "ends": attack.ends, "failures": attack.failures}
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if bits or attack.failures else 0


class Attack:
    """The kills, and what became of the runs.

    Attributes:
      kills: a record of each kill.
      ends: a record of each run that was resumed to its end.
      failures: the last lines of runs that ended with an error.
    """

    def __init__(self, folder: Path, devices: int, rng: random.Random) -> None:
        self._folder, self._devices, self._rng = folder, devices, rng
        self.kills: list[dict[str, Any]] = []
        self.ends: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._durations: dict[str, float] = {}
        self._whole = folder / "whole"
        self._count = 0
        self._wanted = 0

    def run(self, kills: int) -> None:
        """Kills until there have been so many kills and each killed run has ended."""
        self._wanted = kills
        self._run_whole()
        while len(self.kills) < kills:
            self._run_and_kill()

    def _run_whole(self) -> None:
        """Trains without a kill, twice: the first run fills the compilation cache.

        Then the phases of the second, which starts warm as the killed ones do, are measured.
        """
        first = self._folder / "first"
        for path in (first, self._whole):
            process, began = self._start(path, self._folder / "compiled", write=True)
            phases: dict[str, float] = collections.defaultdict(float)
            last = began
            while process.poll() is None:
                now, phase = time.time(), phase_of(path, began)
                phases[phase] += now - last
                last = now
                time.sleep(SECONDS_BETWEEN_LOOKS)
            if not self._check(process, path):
                raise RuntimeError(f"a run without a kill has failed: {self.failures}")
        bits = compare_runs(first, self._whole)
        if any(bits.values()):
            raise RuntimeError(f"two runs without a kill differ: {bits}")
        self._durations = dict(phases)
        shown = {name: round(seconds, 2) for name, seconds in phases.items()}
        print(f"whole and warm: {shown}", file=sys.stderr, flush=True)

    def _run_and_kill(self) -> None:
        """Starts a run, kills and resumes it until it ends, and compares it with the whole run."""
        self._count += 1
        path, kills = self._folder / f"run-{self._count}", 0
        while True:
            phase = self._next_phase(path)
            if phase is not None and self._kill(path, phase):
                kills += 1
                continue
            process, _ = self._start(path, self._folder / "compiled")
            process.wait()
            if self._check(process, path):
                bits = compare_runs(path, self._whole)
                self.ends.append({"run": path.name, "kills": kills, "bits": bits})
                print(f"{len(self.kills)} kills, {path.name}: {kills} kills, {sum(bits.values())} "
                      "bits differ", file=sys.stderr, flush=True)  # fmt: skip
            shutil.rmtree(path)
            return

    def _next_phase(self, path: Path) -> str | None:
        """The phase to kill in, among those still ahead; None to let the run end."""
        phases = list(PHASES)
        reached = phase_of(path, 0.0) if path.exists() else phases[0]
        is_last = len(self.kills) >= self._wanted or reached == "done"
        if is_last or self._rng.random() < SHARE_LEFT_TO_END:
            return None
        # Up to the evaluation, each start reads, restores and compiles again.
        ahead = phases if reached in phases[:4] else phases[phases.index(reached) :]
        return self._rng.choices(ahead, [PHASES[phase] for phase in ahead])[0]

    def _kill(self, path: Path, phase: str) -> bool:
        """Kills a run in a phase, at a random moment; returns whether it still ran."""
        is_cold = phase == "compile" and self._rng.random() < SHARE_COLD
        cache = self._folder / f"cold-{len(self.kills)}" if is_cold else self._folder / "compiled"
        process, began = self._start(path, cache)
        while process.poll() is None:
            if phase_of(path, began) == phase:
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
        length = SECONDS_OF_COLD_COMPILATION if is_cold else self._durations.get(phase, 0.1)
        until = time.time() + self._rng.uniform(0, length)
        while process.poll() is None and time.time() < until:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if process.poll() is not None:
            if process.returncode:
                self._check(process, path)
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        fell = phase_of(path, began)
        self.kills.append({
            "run": path.name, "wanted": phase, "cold": is_cold,
            "phase": f"{'cold ' if is_cold else ''}{fell}",
            "seconds": round(time.time() - began, 2),
        })  # fmt: skip
        return True

    def _start(
        self, path: Path, cache: Path, *, write: bool = False
    ) -> tuple[subprocess.Popen[str], float]:
        """Starts or resumes a run as a process group of its own."""
        flags = f"--xla_force_host_platform_device_count={self._devices}"
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": flags if self._devices > 1 else "",
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            # JAX does not write its cache atomically: killed runs must not write to the common one.
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0" if write else "1000000",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        with open(self._folder / "log", "w") as log:
            process = subprocess.Popen(
                train_command(path, self._devices), env=environment, cwd=self._folder, stdout=log,
                stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        return process, time.time()

    def _check(self, process: subprocess.Popen[str], path: Path) -> bool:
        """Records a failure if a run has ended with an error."""
        if process.returncode:
            last = (self._folder / "log").read_text().splitlines()[-5:]
            self.failures.append(f"{path.name}, exit status {process.returncode}: {last}")
        return not process.returncode


if __name__ == "__main__":
    sys.exit(main())
