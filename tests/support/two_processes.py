"""Runs a program in several processes that communicate over the loopback interface."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ["experiments/run.py", "--no-report", "--bits", "12", "--batch-size", "32"]


def start(script, arguments_of, n_devices=1, n_processes=2):
    """Starts ``script`` in processes with arguments ``arguments_of(coordinator, index)``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    environment = os.environ | {
        "XLA_FLAGS": flags,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, [*script, *arguments_of(coordinator, i)])],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(n_processes)
    ]


def end(started):
    """Waits for the processes to exit; returns ``(exit status, stdout, stderr)`` for each."""
    try:
        answers = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [(process.returncode, *answer) for process, answer in zip(started, answers, strict=True)]


def start_run(folder, *options, script=RUN, n_processes=2):
    """Starts a training run in ``folder`` in several processes."""

    def arguments(coordinator, i):
        places = ["--coordinator", coordinator, "--processes", n_processes, "--process", i]
        return [*options, "--run-dir", folder, *places]

    return start(script, arguments, n_processes=n_processes)


def lines_of(folder):
    """Returns the lines written to `metrics.jsonl` so far."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
