"""Runs `hashnet` and prints its peak memory in MiB; used by update_memory.py."""

import sys
from pathlib import Path

from benchmarks.measuring import own_peak
from hashnet_jax.cli import main

LINUX_STATUS = Path("/proc/self/status")


def peak_since_start() -> float:
    """Returns the peak memory in MiB.

    On Linux, this excludes the parent's memory at fork, which getrusage would include.
    """
    if not LINUX_STATUS.exists():
        return own_peak()
    (line,) = [line for line in LINUX_STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    status = main(sys.argv[1:])
    print(peak_since_start())
    sys.exit(status)
