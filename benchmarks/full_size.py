"""Measures everything in a run at the size of ImageNet-100 that is not the network.

    python benchmarks/full_size.py

The data set has the paper's numbers of images: 10,000 for training, 5,000 queries and a database of
128,503. Its images are generated, and so small that the network takes almost no time. The benchmark
runs `hashnet train` on it, and prints the time of each stage and the peak memory of the process.
"""

import argparse
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.hashnet_peak import peak_since_start
from benchmarks.measuring import environment
from hashnet_jax import ModelSpec, backbones, configs, data, report
from hashnet_jax.cli import _results, _training
from hashnet_jax.cli import main as hashnet
from hashnet_jax.distributed.devices import local_devices, map_step
from hashnet_jax.training import RunFolder, TrainSpec, init_state, train_step

NAME = "simulated"
CLASSES, QUERIES, TRAINING, DATABASE = 100, 5_000, 10_000, 128_503
SIDE = 12

# {stage: the functions that do it}.
STAGES: dict[str, tuple[tuple[Any, str], ...]] = {
    "training loop": ((_training, "fit"),),
    "encoding queries and database": ((_results, "encode"),),
    "evaluation (MAP with its band, curves, metrics)": (
        (_results, "evaluate"),
        (_results, "evaluate_registered"),
        (_results, "code_statistics"),
    ),
    "codes.npz": ((_results, "_write_codes"),),
    "report with figures and gallery": ((report, "write_report"),),
}


class OneLayer(nn.Module):
    """A single dense layer of the pixels."""

    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return nn.relu(nn.Dense(64, dtype=self.dtype)(images.reshape(len(images), -1)))


def load(options: data.Options) -> data.Dataset:
    """Returns noisy copies of one picture per class."""
    rng = np.random.default_rng(0)
    labels = np.arange(QUERIES + DATABASE) % CLASSES
    pictures = rng.integers(0, 256, (CLASSES, SIDE, SIDE, 3), np.uint8)
    images = rng.integers(0, 256, (len(labels), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(labels), 4_096):
        part = slice(start, start + 4_096)
        images[part] = images[part] // 4 * 3 + pictures[labels[part]] // 4
    split = data.per_class_split(
        labels, queries=QUERIES // CLASSES, train=TRAINING // CLASSES, seed=options.split_seed
    )
    names = tuple(f"class {i}" for i in range(CLASSES))
    return data.Dataset(NAME, data.ArraySource(images), labels, names, split)


def register() -> ModelSpec:
    """Registers the backbone, the data set and its config; returns the network's spec."""
    sizes = {"image_size": SIDE, "resize": SIDE}
    backbones.register("one_layer", backbones.Backbone(OneLayer, smallest=1, **sizes))
    data.register(NAME, load)
    spec = ModelSpec("one_layer", bits=48, **sizes)
    config = configs.CONFIGS["imagenet100"]
    configs.register(
        dataclasses.replace(config, dataset=NAME, model=spec, augmentation="shift_flip")
    )
    return spec


@contextlib.contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    """Adds the time that is spent in each stage to ``seconds``."""
    with contextlib.ExitStack() as stack:
        for stage, functions in STAGES.items():
            seconds[stage] = 0.0
            for owner, name in functions:
                original = getattr(owner, name)
                setattr(owner, name, _timed(original, stage, seconds))
                stack.callback(setattr, owner, name, original)
        yield


def _timed(function: Callable, stage: str, seconds: dict[str, float]) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[stage] += time.monotonic() - started

    return call


def milliseconds_of_loop(steps: Sequence[int], spec: ModelSpec, dataset: data.Dataset) -> float:
    """Returns the time per step of the training loop, from runs of two lengths."""
    seconds = []
    for total in steps:
        with (
            tempfile.TemporaryDirectory() as temporary,
            RunFolder(Path(temporary, "run")) as folder,
        ):
            state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=total))
            started = time.monotonic()
            _training.fit(
                state, dataset, folder, augmentation="shift_flip", batch_size=64, seed=0,
                devices=local_devices(1), checkpoint_every=10 * total,
            )  # fmt: skip
            seconds.append(time.monotonic() - started)
    return 1_000 * (seconds[1] - seconds[0]) / (steps[1] - steps[0])


def milliseconds_of_step(steps: int, spec: ModelSpec, dataset: data.Dataset) -> float:
    """Returns the time of a train step by itself, on one batch that is already on the device."""
    step = map_step(train_step, local_devices(1))
    state = init_state(jax.random.key(0), spec, TrainSpec(total_steps=steps + 1))
    images = np.stack([dataset.source[i] for i in range(64)])
    batch = jax.device_put({"image": images, "label": dataset.labels[:64].astype(np.int32)})
    state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    started = time.monotonic()
    for _ in range(steps):
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
    return 1_000 * (time.monotonic() - started) / steps


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--steps", type=int, default=500, help="number of training steps (default: 500)"
    )
    options = parser.parse_args(argv)
    spec, seconds = register(), {}
    with tempfile.TemporaryDirectory() as temporary, timed(seconds):
        run_dir = Path(temporary, "run")
        started = time.monotonic()
        status = hashnet(
            ["train", "--dataset", NAME, "--steps", str(options.steps), "--run-dir", str(run_dir)]
        )
        seconds["all of `hashnet train`, without imports"] = time.monotonic() - started
        if status:
            raise SystemExit(status)
    print(f"\n{environment()}\n")
    for stage, duration in seconds.items():
        print(f"{stage:50}  {duration:7.1f} s")
    print(f"{'peak memory':50}  {peak_since_start():7.0f} MiB")
    dataset = load(data.Options(split_seed=0))
    loop = milliseconds_of_loop((options.steps, 3 * options.steps), spec, dataset)
    step = milliseconds_of_step(options.steps, spec, dataset)
    print(f"{'training loop, per step of 64 images':50}  {loop:7.2f} ms")
    print(f"{'of which the step itself':50}  {step:7.2f} ms")


if __name__ == "__main__":
    main()
