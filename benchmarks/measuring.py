"""Measures time, FLOPs, peak memory and how busy the machine is, and describes the machine."""

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
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

# Working directory for subprocesses, which import `benchmarks` and `tests`.
ROOT = Path(__file__).parents[1]

# Dense bfloat16 FLOP/s per chip (float16 for chips without bfloat16), keyed by device kind. From
# vendor data sheets: nvidia.com/en-us/data-center/{h200,h100,a100,l4,v100,tesla-t4} (SXM,
# without sparsity) and cloud.google.com/tpu/docs (system architecture, v3 to v6e).
PEAK_FLOPS = {
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

VECTOR_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_vpopcntdq", "avx512_bf16", "amx_bf16")


@dataclasses.dataclass
class Row:
    """The measurements of one contender in one case.

    Attributes:
      suite: name of the suite.
      case: description of what is measured, including its size.
      by: the contender: ``"hashnet_jax"`` (with the implementation, if there are several), or a
        peer, i.e. a library that it is compared with.
      seconds: time of each repeat; empty if the measurement failed, with the reason in ``note``.
      items: number of items processed per repeat.
      unit: what the items are, e.g. ``"images"``.
      compile_seconds: time of the first call minus the median time; None if unknown.
      flops: FLOPs per repeat; see :func:`count_flops`.
      share_of_peak: fraction of the device's peak FLOP/s; see :func:`peak_flops`.
      memory: peak memory in MiB; ``note`` describes what it includes.
      busy: share of the machine's CPU time that was not available while the calls were timed; see
        :class:`BusyClock`. None if unknown.
      note: a comment to print with the row.
    """

    suite: str
    case: str
    by: str
    seconds: list[float] = dataclasses.field(default_factory=list)
    items: int = 1
    unit: str = "calls"
    compile_seconds: float | None = None
    flops: float | None = None
    share_of_peak: float | None = None
    memory: float | None = None
    busy: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Difference between the slowest and the fastest repeat, divided by the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def missing(suite: str, case: str, by: str, why: object) -> Row:
    """Returns a row for a peer that is not available."""
    return Row(suite, case, by, note=f"missing: {why}")


def measure(rows: Sequence[tuple[Row, Callable[[], Any]]], repeats: int) -> list[Row]:
    """Times the contenders in turn, so that a busy machine affects all of them equally.

    Args:
      rows: pairs of a row and a zero-argument function. The time of a call includes waiting for its
        result.
      repeats: number of timed calls per function, after one call to compile and one to warm up.

    Returns:
      The rows, with ``seconds`` filled in, or with a note if the function of a peer raises an
      exception.
    """
    ready = []
    for row, function in rows:
        try:
            first, _ = _seconds(function), _seconds(function)
            ready.append((row, function, first))
        except Exception as error:  # A failing peer must not abort the benchmark.
            if row.by.startswith("hashnet_jax"):
                raise
            row.note = f"failed: {type(error).__name__}: {str(error).splitlines()[0][:100]}"
    clock = BusyClock()
    for _ in range(repeats):
        for row, function, _ in ready:
            row.seconds.append(_seconds(function))
    busy = clock.share()
    for row, _, first in ready:
        row.busy = busy
        if row.compile_seconds is None:
            row.compile_seconds = max(0.0, first - row.median)
        if row.flops:
            row.share_of_peak = row.flops / row.median / peak_flops()[0]
    return [row for row, _ in rows]


class BusyClock:
    """Measures how much of the machine's CPU time other processes and other virtual machines use.

    The clock starts when it is created. It needs Linux's ``/proc/stat``.
    """

    def __init__(self) -> None:
        self._start = _cpu_seconds()

    def share(self) -> float | None:
        """Returns the share of CPU time used by others since the start, in 0..1; None if unknown.

        This is the time of all other processes plus the time that the hypervisor gave to other
        virtual machines.
        """
        now = _cpu_seconds()
        if self._start is None or now is None:
            return None
        others, total = (after - before for after, before in zip(now, self._start, strict=True))
        return min(1.0, max(0.0, others / total)) if total else 0.0


def _cpu_seconds() -> tuple[float, float] | None:
    """Returns the CPU time used by others and the whole CPU time since the machine started."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except FileNotFoundError:
        return None
    # User and nice include guests. See proc_stat(5).
    user, nice, system, idle, waiting, irq, soft_irq, stolen = map(int, line.split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    own = sum(os.times()[:4])
    busy = (user + nice + system + irq + soft_irq + stolen) / ticks
    return busy - own, busy + (idle + waiting) / ticks


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def count_flops(function: Callable, *arguments: Any) -> float:
    """Counts the FLOPs of a call with XLA's cost analysis of the unoptimized program.

    This analyses the GPU program, which is only lowered, not compiled. The CPU program is
    unsuitable because its loop bodies are counted only once, and it uses Winograd convolutions,
    which need fewer multiplications.
    """
    leaves, structure = jax.tree.flatten(arguments)
    shapes = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]

    def call(*leaves: Any) -> Any:
        # Lowering rebuilds pytrees with placeholders for arrays, which run-time type checks reject.
        return function(*structure.unflatten(leaves))

    # Only the CPU client can analyse uncompiled programs, including programs for a GPU.
    with jax.default_device(jax.devices("cpu")[0]):
        lowered = jax.jit(call).trace(*shapes).lower(lowering_platforms=("cuda",))
    return lowered.cost_analysis()["flops"]


_measured: list[tuple[float, str]] = []


def peak_flops() -> tuple[float, str]:
    """Returns the peak FLOP/s of one device and the source of this number.

    The peak is measured once if the device is not in ``PEAK_FLOPS``.
    """
    if not _measured:
        device = known_device(PEAK_FLOPS)
        sheet = device and (PEAK_FLOPS[device], "bfloat16, data sheet")
        _measured.append(sheet or _measure_peak())
    return _measured[0]


def known_device(names: Iterable[str]) -> str | None:
    """Returns the first of these names of devices that this machine's device has, if any."""
    kind = jax.devices()[0].device_kind
    # Match whole words: an L40S is not an L4.
    return next((name for name in names if re.search(rf"\b{name}\b", kind)), None)


def _measure_peak(side: int = 2048) -> tuple[float, str]:
    matrix = jnp.ones((side, side), jnp.float32)
    product = jax.jit(jnp.matmul)
    best = min(_seconds(lambda: product(matrix, matrix)) for _ in range(6))
    return 2 * side**3 / best, f"float32, best of 6 matrix products of {side} x {side}"


def environment() -> dict[str, Any]:
    """Returns the device, versions and commit to report with the results."""
    device = jax.devices()[0]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT
    )
    flops, source = peak_flops()
    return {
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "instructions": instruction_set(),
        "load": os.getloadavg()[0],
        "peak_flops": flops,
        "peak_source": source,
        "python": platform.python_version(),
        **_versions("jax", "jaxlib", "flax", "numpy", "torch", "faiss-cpu", "onnxruntime"),
        "commit": commit.stdout.strip() or "unknown",
    }


def instruction_set() -> str:
    """Returns the vector instructions of this machine's CPU that affect speed, on x86 Linux."""
    with contextlib.suppress(FileNotFoundError):
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if flags:
            present = set(flags[1].split())
            return " ".join(flag for flag in VECTOR_FLAGS if flag in present)
    return platform.machine()


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def module_command(module: str, *arguments: object) -> list[str]:
    """Returns a command that runs a module of this package in the directory ``ROOT``."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


def own_peak() -> float:
    """Returns the peak memory of this process so far, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)  # macOS reports bytes.


def peak_of_process(module: str, *arguments: object) -> float:
    """Runs a module of this package in a fresh process, and returns its peak memory in MiB.

    The module must print its own peak memory last.
    """
    command = module_command(module, *arguments)
    # On Linux, a child's peak includes its parent's memory at fork, even after exec. An
    # intermediate shell, which forks again, keeps this process's memory out of the result.
    shell = ["sh", "-c", '"$@"; exit $?', "sh", *command] if os.name == "posix" else command
    done = subprocess.run(shell, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])
