"""Measures how fast Ray workers on this machine index pictures, compared with a single process.

    python benchmarks/ray_workers.py

Each contender indexes the same JPEGs into a new store. Ray is started before, and each number of
workers indexes a few pictures first, so the rates exclude the time to start Ray and the workers,
which is printed separately, but include the compilation of the network in each new worker.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax

import hashnet_jax
from benchmarks.measuring import environment
from benchmarks.update_memory import make_pictures
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import (
    Engine,
    LocalEngine,
    RayEngine,
    StoreManifest,
    create_store,
    update_store,
)

BATCH_SIZE = 32


def index(engine: Engine, run: Path, pictures: Path, store: Path) -> float:
    """Indexes pictures into a new store; returns the time in seconds."""
    started = time.monotonic()
    update_store(create_store(store, StoreManifest.of_run(run)), run, [pictures], engine=engine)
    return time.monotonic() - started


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--pictures", type=int, default=2_000, help="number of pictures (default: 2000)")
    add("--backbone", default="efficientnet_lite0", help="(default: efficientnet_lite0)")
    add("--image-size", type=int, default=128, help="of the network, in pixels (default: 128)")
    add("--workers", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    add("--rounds", type=int, default=3, help="measurements of each contender (default: 3)")
    options = parser.parse_args(argv)
    engines: dict[str, Engine] = {
        "one process, without Ray": LocalEngine(BATCH_SIZE, local_devices(1))
    }
    for workers in options.workers:
        engines[f"Ray, workers: {workers}"] = RayEngine(None, BATCH_SIZE, workers)
    print(environment())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).absolute()
        size = options.image_size
        spec = hashnet_jax.ModelSpec(options.backbone, bits=64, image_size=size, resize=size)
        (folder / "run").mkdir()
        hashnet_jax.save(folder / "run", hashnet_jax.init(jax.random.key(0), spec))
        few = make_pictures(folder / "few", BATCH_SIZE, 320)
        many = make_pictures(folder / "many", options.pictures, 320)
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for name, engine in engines.items():
            first = index(engine, folder / "run", few, folder / f"few {name}")
            print(f"{name}: {len(list(few.iterdir()))} pictures in {first:.1f} s")
        for number in range(options.rounds):
            for name, engine in engines.items():
                store = folder / f"{number} {name}"
                seconds[name].append(index(engine, folder / "run", many, store))
        for name, times in seconds.items():
            median = statistics.median(times)
            print(
                f"{name}: {options.pictures / median:.1f} pictures/s "
                f"({min(times):.1f} to {max(times):.1f} s)"
            )


if __name__ == "__main__":
    main()
