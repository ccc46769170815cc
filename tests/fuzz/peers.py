"""Kills one of several processes of a run, and shows how the others end.

::

    python -m tests.fuzz.peers [--heartbeat SECONDS] [--processes 2 4]

For each number of processes, the first or the last process is killed while the processes compile,
train and evaluate. The run is then resumed by the printed command, and must end with the parameters
of a run that was never interrupted, bit for bit.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.support.two_processes import RUN, end, lines_of, start_run

STEPS = 24
OPTIONS = ["--steps", STEPS, "--checkpoint-every", 4, "--no-report", *RUN[2:]]


def program(heartbeat_seconds):
    """A program like `hashnet train` that waits this long for a sign of life."""
    return [
        "-c",
        "import sys\n"
        "from hashnet_jax.distributed import _initialize\n"
        f"_initialize.HEARTBEAT_TIMEOUT_SECONDS = {heartbeat_seconds}\n"
        "from hashnet_jax.cli import main\n"
        "sys.exit(main(['train', *sys.argv[1:]]))",
    ]


def has_reached(phase, folder):
    """Whether the run in ``folder`` has reached a phase."""
    if phase == "compiling":
        return (folder / "overlaps.json").is_file()
    lines = lines_of(folder)
    return bool(lines) and (phase == "training" or lines[-1]["step"] == STEPS)


def kill_at(phase, folder, victim, script, *, n_processes):
    """Kills a process in a phase: seconds until all others have ended, and their answers."""
    started = start_run(folder, *OPTIONS, script=script, n_processes=n_processes)
    while not has_reached(phase, folder):
        assert started[0].poll() is None, started[0].communicate()
        time.sleep(0.01)
    started[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    others = [process for process in started if process is not started[victim]]
    answers = end(others)
    started[victim].communicate()
    return time.monotonic() - killed, answers


def same_network(a, b):
    """Whether two runs have the same parameters and codes, bit for bit."""
    for name in ("model.npz", "codes.npz"):
        with np.load(a / name) as expected, np.load(b / name) as got:
            if not all(np.array_equal(expected[key], got[key]) for key in expected.files):
                return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heartbeat", type=int, default=20)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    args = parser.parse_args()
    script, wrong = program(args.heartbeat), 0
    with tempfile.TemporaryDirectory() as parent:
        for n in args.processes:
            whole = Path(parent, f"whole-{n}")
            for status, _, errors in end(start_run(whole, *OPTIONS, script=script, n_processes=n)):
                assert status == 0, errors
            for phase in ("compiling", "training", "evaluating"):
                for victim in (0, n - 1):
                    folder = Path(parent, f"{n}-{phase}-{victim}")
                    seconds, answers = kill_at(phase, folder, victim, script, n_processes=n)
                    resumed = end(start_run(folder, "--resume", script=script, n_processes=n))
                    ends_well = all(status == 0 for status, _, _ in resumed)
                    same = ends_well and same_network(whole, folder)
                    wrong += not same
                    statuses = sorted({status for status, _, _ in answers})
                    print(
                        f"{n} processes, {phase}, killed {victim}: {seconds:.1f} s, status "
                        f"{statuses}, resumed {'bit for bit' if same else 'DIFFERENTLY'}"
                    )
                    for line in sorted({errors.splitlines()[-1] for _, _, errors in answers}):
                        print(f"    {line}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
