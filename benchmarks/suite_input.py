"""Compares the input pipeline with the train step, and measures the training loop's overhead."""

import argparse
import contextlib
import dataclasses
import io
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from PIL import Image

from benchmarks.measuring import Row, measure
from benchmarks.suite_encode import write_pictures
from benchmarks.suite_train import JaxStep
from hashnet_jax import ModelSpec
from hashnet_jax.data import DATASETS, Dataset, Options, Split
from hashnet_jax.data.pipeline import DEFAULT_THREADS, training_batches
from hashnet_jax.data.sources import ArraySource, FileSource, squash
from hashnet_jax.distributed.devices import local_devices, map_step
from hashnet_jax.training import RunFolder, TrainSpec, TrainState, fit, init_state, train_step

BATCHES = 8


def run(options: argparse.Namespace) -> Iterator[Row]:
    yield from delivered_images(options)
    yield from loop_overhead(options)
    yield from large_picture(options)


def delivered_images(options: argparse.Namespace) -> Iterator[Row]:
    """Compares the throughput of the input pipeline with the throughput of the train step."""
    step = JaxStep(options.backbone[0], options)
    size, side = options.batch_size, 2 * options.image_size
    case = f"{side} px to {options.image_size} px, batch {size}"
    rows = [(Row("input", case, "step", items=size, unit="images"), step)]
    rows[0][0].note = f"train step of {options.backbone[0]}"
    with tempfile.TemporaryDirectory() as folder:
        files = FileSource(write_pictures(folder, 2 * size, side))
        arrays = ArraySource(np.stack([files[i] for i in range(len(files))]))
        for name, source in (("JPEG files", files), ("arrays in memory", arrays)):
            row = Row("input", case, f"hashnet_jax, {name}", unit="images", compile_seconds=0.0)
            row.items = BATCHES * size
            row.note = f"{DEFAULT_THREADS} threads; including the start of the pipeline"
            rows.append((row, _reader(source, step.state.params.spec, size)))
        yield from measure(rows, options.repeats)


def _reader(source: Any, spec: ModelSpec, batch_size: int) -> Callable[[], list[Any]]:
    """Returns a function that reads ``BATCHES`` training batches from a source."""
    n = len(source)
    split = Split(np.arange(n - 2), query=np.array([n - 2]), database=np.array([n - 1]))
    dataset = Dataset("made", source, np.zeros(n, np.int64), ("all",), split)

    def read() -> list[Any]:
        batches = training_batches(
            dataset,
            spec,
            augmentation="resized_crop_flip",
            batch_size=batch_size,
            start=0,
            stop=BATCHES,
            seed=0,
        )
        return [batch["label"] for batch in batches]

    return read


def loop_overhead(options: argparse.Namespace) -> Iterator[Row]:
    """Compares `fit` on the digits data set with the jitted train step alone.

    The time of `fit` includes opening its folder, loading all batches, logging, and saving one
    checkpoint at the end. The train step alone is given the same batch on the device every time.
    """
    size, steps = (8, 4) if options.small else (32, 500)
    case = f"digits, small_cnn, batch {size}, {steps} steps on one device"
    names = ("step", "loop", "batches")
    rows = [Row("input", case, f"hashnet_jax, {by}", items=steps, unit="steps") for by in names]
    measure(list(zip(rows, _digits_contenders(size, steps), strict=True)), options.repeats)
    outside = 1 - rows[0].median / rows[1].median
    rows[0].note = "always the same batch on the device, waiting for each step"
    rows[
        1
    ].note = f"fit, including data, log and one checkpoint; {outside:.1%} spent outside the step"
    rows[2].note = f"only augmented batches, {DEFAULT_THREADS} threads"
    yield from rows


def _digits_contenders(size: int, steps: int) -> tuple[Callable[[], Any], ...]:
    """Returns functions that only run train steps, run all of `fit`, and only read batches."""
    spec = ModelSpec("small_cnn", image_size=8, resize=8, mean=(0.3,) * 3, std=(0.38,) * 3)
    train = TrainSpec(total_steps=steps, learning_rate=0.05, hash_multiplier=1.0)
    data = Options(queries_per_class=20, train_per_class=100, train_in_database=False)
    dataset, devices = DATASETS["digits"](data), local_devices(1)
    state = init_state(jax.random.key(0), spec, train)
    settings = {"augmentation": "shift", "batch_size": size, "seed": 0}
    step = map_step(train_step, devices)
    batch = jax.device_put(next(training_batches(dataset, spec, start=0, stop=1, **settings)))

    def run_steps() -> dict[str, jax.Array]:
        current: TrainState = jax.tree.map(lambda leaf: leaf.copy(), state)
        for _ in range(steps):
            current, metrics = jax.block_until_ready(step(current, batch))
        return metrics

    def run_fit() -> None:
        with tempfile.TemporaryDirectory() as path, RunFolder(pathlib.Path(path) / "run") as folder:
            folder.write_json("config.json", dataclasses.asdict(spec))
            with contextlib.redirect_stderr(io.StringIO()):  # Hide the progress bar.
                fit(state, dataset, folder, devices=devices, checkpoint_every=steps, **settings)

    def read_batches() -> list[Any]:
        stream = training_batches(dataset, spec, start=0, stop=steps, **settings)
        return [batch["label"] for batch in stream]

    return run_steps, run_fit, read_batches


def large_picture(options: argparse.Namespace) -> Iterator[Row]:
    """Compares decoding a 12-megapixel picture at reduced size and at full size before resizing."""
    size, shape = (16, (400, 300)) if options.small else (256, (4000, 3000))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "large.jpg"
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (shape[1] // 8, shape[0] // 8, 3), np.uint8))
        coarse.resize(shape, Image.Resampling.BICUBIC).save(path, quality=90)
        source, case = (
            FileSource([path]),
            f"JPEG of {shape[0]} x {shape[1]}, resized to {size} x {size}",
        )
        forms = {
            "hashnet_jax, as in training": lambda: source.squashed(0, size),
            "decoded at full size": lambda: squash(source[0], size),
        }
        rows = [(Row("input", case, by, unit="images"), form) for by, form in forms.items()]
        yield from measure(rows, options.repeats)
