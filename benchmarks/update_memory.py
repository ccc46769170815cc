"""Measures the peak memory and time of `hashnet index update` for different numbers of pictures.

Each folder of JPEGs is indexed into a new store, in a fresh process, by a small network with random
weights. Peak memory should not grow with the decoded pictures, only with their rows. Most files are
hard links to the same few pictures, which cost as much to read, decode and encode as distinct
pictures.

    python benchmarks/update_memory.py                       # 500 and 5,000 pictures
    python benchmarks/update_memory.py --numbers 500 50000 --side 640
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from benchmarks.measuring import ROOT, module_command

DIFFERENT_PICTURES = 50


def make_run(folder: Path) -> Path:
    """Creates a run folder with a small, randomly initialized network."""
    folder.mkdir()
    spec = hashnet_jax.ModelSpec("small_cnn", bits=48, image_size=32, resize=32)
    hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(0), spec))
    return folder


def make_pictures(folder: Path, number: int, side: int) -> Path:
    """Creates a folder with ``number`` JPEGs of ``side`` x ``side`` pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(number):
        path = folder / f"{i:06}.jpg"
        if i < DIFFERENT_PICTURES:
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)
        else:
            os.link(folder / f"{i % DIFFERENT_PICTURES:06}.jpg", path)
    return folder


def update(run: Path, pictures: Path, store: Path) -> tuple[float, float]:
    """Runs `hashnet index update`; returns its peak memory in MiB, and its time with startup."""
    command = module_command("hashnet_peak", "index", "update", run, pictures, "--store", store)
    started = time.monotonic()
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"hashnet index update failed: {result.stderr.strip()}")
    return float(result.stdout.split()[-1]), time.monotonic() - started


def measure(numbers: Sequence[int], side: int) -> dict[int, tuple[float, float]]:
    """Returns (peak memory in MiB, seconds) for each number of pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).absolute()
        run = make_run(folder / "run")
        results = {}
        for number in numbers:
            pictures = make_pictures(folder / f"pictures-{number}", number, side)
            results[number] = update(run, pictures, folder / f"store-{number}")
        return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--numbers",
        type=int,
        nargs="+",
        default=[500, 5_000],
        metavar="N",
        help="numbers of pictures to index (default: 500 5000)",
    )
    parser.add_argument(
        "--side",
        type=int,
        default=320,
        metavar="S",
        help="width and height of the pictures in pixels (default: 320)",
    )
    options = parser.parse_args(argv)
    print("pictures  peak MiB  seconds")
    for number, (peak, seconds) in measure(options.numbers, options.side).items():
        print(f"{number:8,}  {peak:8.0f}  {seconds:7.1f}")


if __name__ == "__main__":
    main()
