"""Peak memory and rate of `hashnet encode` at several numbers of pictures.

Each number is encoded by a process of its own, from a folder of JPEGs, with a small network of
random weights: memory must not grow with the number. Pictures of the same few contents under many
names cost as much to read, decode and encode as different ones.

    python benchmarks/encode_memory.py                       500 and 5,000 pictures
    python benchmarks/encode_memory.py --numbers 500 50000 --side 640
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image

import hashnet_jax

CONTENTS = 50  # different pictures

# The command, then its peak memory in MiB. On Linux not by getrusage, which counts what the parent
# held when it started this process.
CHILD = """
import pathlib, resource, sys
from hashnet_jax.cli import main
status = main(sys.argv[1:])
proc = pathlib.Path("/proc/self/status")
if proc.exists():
    (line,) = [line for line in proc.read_text().splitlines() if line.startswith("VmHWM")]
    print(int(line.split()[1]) / 2**10)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)  # macOS counts bytes
sys.exit(status)
"""


def make_run(folder):
    """A run's folder with a small network of random weights."""
    folder.mkdir()
    spec = hashnet_jax.ModelSpec("small_cnn", bits=48, image_size=32, resize=32)
    hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(0), spec))
    return folder


def make_pictures(folder, number, side):
    """A folder of ``number`` JPEGs of ``side`` x ``side`` pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(number):
        path = folder / f"{i:06}.jpg"
        if i < CONTENTS:
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)
        else:
            os.link(folder / f"{i % CONTENTS:06}.jpg", path)
    return folder


def encode(run, pictures, output):
    """Runs `hashnet encode`; its peak memory in MiB and its seconds, start-up included."""
    command = [sys.executable, "-c", CHILD, "encode", run, pictures, "-o", output]
    started = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"hashnet encode failed: {result.stderr.strip()}")
    return float(result.stdout.split()[-1]), time.monotonic() - started


def measure(numbers, side):
    """``{number: (MiB, seconds)}``."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run = make_run(folder / "run")
        results = {}
        for number in numbers:
            pictures = make_pictures(folder / f"pictures-{number}", number, side)
            results[number] = encode(run, pictures, folder / f"codes-{number}")
        return results


def main(argv=None):
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--numbers", type=int, nargs="+", default=[500, 5_000], metavar="N")
    p.add_argument("--side", type=int, default=320, help="of the pictures, pixels (default: 320)")
    args = p.parse_args(argv)
    print("pictures  peak MiB  seconds")
    for number, (peak, seconds) in measure(args.numbers, args.side).items():
        print(f"{number:8,}  {peak:8.0f}  {seconds:7.1f}")


if __name__ == "__main__":
    main()
