"""Measuring: repeats in turn after a warm-up, the machine they ran on, and its peak."""

import contextlib
import dataclasses
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp

# Dense bfloat16 (float16 where it has none) FLOP/s of one chip, by words of its device_kind, from
# the makers' data sheets: nvidia.com/en-us/data-center/{h200,h100,a100,l4,v100,tesla-t4} (SXM,
# without sparsity) and cloud.google.com/tpu/docs (system architecture, v3 to v6e).
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L4": 121e12,
    "V100": 125e12,
    "T4": 65e12,
    "TPU v6 lite": 918e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v4": 275e12,
    "TPU v3": 123e12,
}


@dataclasses.dataclass
class Row:
    """One contender of one measurement.

    Attributes:
      suite, case: what was measured, and at what size.
      by: who did it: ``"hashnet_jax"`` (with the form, if there are several) or a peer.
      seconds: of each repeat; empty if it could not be measured, and ``note`` says why.
      items, unit: how many of what a repeat does.
      compile_seconds: from the first call, less a later one; None if nothing compiles.
      flops: of a repeat, by :func:`count_flops`.
      share_of_peak: of the device's FLOP/s, see :func:`peak`.
      memory: MiB at the peak, of what ``note`` says.
    """

    suite: str
    case: str
    by: str
    seconds: list = dataclasses.field(default_factory=list)
    items: int = 1
    unit: str = "calls"
    compile_seconds: float | None = None
    flops: float | None = None
    share_of_peak: float | None = None
    memory: float | None = None
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """Distance of the slowest from the fastest repeat, over the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def count_flops(function, *arguments):
    """FLOPs of a call, by XLA's analysis of the program before it is optimised.

    Of the program for GPUs, which is lowered here, not compiled: the CPU's has loops, whose bodies
    the analysis counts once, and products that Winograd's form saves.
    """
    lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",))
    return lowered.cost_analysis()["flops"]


def measure(rows, repeats):
    """Times the contenders in turn, so that a busy machine slows all of them alike.

    Args:
      rows: list of ``(Row, function)``; a function takes nothing, and its result is waited for.
      repeats: timed calls of each, after one call to compile and one to warm up.

    Returns:
      The rows, their ``seconds`` filled in; one whose function raises says so in its note.
    """
    ready = []
    for row, function in rows:
        try:
            first, _ = _seconds(function), _seconds(function)
            ready.append((row, function, first))
        # A peer that is broken here must not take the measurement with it.
        except Exception as error:
            if row.by.startswith("hashnet_jax"):
                raise
            row.note = f"failed: {type(error).__name__}: {str(error).splitlines()[0][:100]}"
    for _ in range(repeats):
        for row, function, _ in ready:
            row.seconds.append(_seconds(function))
    for row, _, first in ready:
        if row.compile_seconds is None:
            row.compile_seconds = max(0.0, first - row.median)
        if row.flops:
            row.share_of_peak = row.flops / row.median / peak()[0]
    return [row for row, _ in rows]


def missing(suite, case, by, why):
    """The row of a peer that is not there."""
    return Row(suite, case, by, note=f"missing: {why}")


_peak = []


def peak():
    """(FLOP/s, where the number is from) of one device; measured once if it is not in the table."""
    if not _peak:
        kind = jax.devices()[0].device_kind
        # Whole words: an L40S is no L4.
        known = [value for name, value in PEAKS.items() if re.search(rf"\b{name}\b", kind)]
        _peak.append((known[0], "bfloat16, data sheet") if known else _measured_peak())
    return _peak[0]


def _measured_peak(side=2048):
    matrix = jnp.ones((side, side), jnp.float32)
    product = jax.jit(jnp.matmul)
    best = min(_seconds(lambda: product(matrix, matrix)) for _ in range(6))
    return 2 * side**3 / best, f"float32, best of 6 products of {side} x {side}"


def environment():
    """Device, versions and commit, for the head of a table and the JSON file."""
    device = jax.devices()[0]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    flops, source = peak()
    return {
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": os.getloadavg()[0],
        "peak_flops": flops,
        "peak_source": source,
        "python": platform.python_version(),
        **_versions("jax", "jaxlib", "flax", "numpy", "torch", "faiss-cpu"),
        "commit": commit.stdout.strip() or "unknown",
    }


def _versions(*packages):
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def own_peak():
    """MiB at the peak of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def peak_of_a_process(script, *arguments):
    """MiB at the peak of a fresh process: what ``script`` prints last when given ``arguments``."""
    command = [sys.executable, str(script), *map(str, arguments)]
    # Linux counts the memory of a parent at the fork into its child's peak, and keeps it over exec:
    # a shell that forks once more stands between them.
    shell = ["sh", "-c", '"$@"; exit $?', "sh", *command] if os.name == "posix" else command
    done = subprocess.run(shell, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _seconds(function):
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start
