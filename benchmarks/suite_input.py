"""The input pipeline: images a second beside what the step eats, and what the loop adds to it."""

import contextlib
import dataclasses
import io
import pathlib
import tempfile

import jax
import numpy as np
from measuring import Row, measure
from PIL import Image
from suite_encode import write_pictures
from suite_train import JaxStep

from hashnet_jax import ModelSpec, parallel
from hashnet_jax.data.dataset import Dataset, Options
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.data.pipeline import THREADS, training_batches
from hashnet_jax.data.protocols import Split
from hashnet_jax.data.sources import ArraySource, FileSource, squash
from hashnet_jax.optim import TrainSpec
from hashnet_jax.run_folder import RunFolder
from hashnet_jax.state import init_state
from hashnet_jax.trainer import fit

BATCHES = 8


def run(options):
    yield from delivered(options)
    yield from loop(options)
    yield from large(options)


def delivered(options):
    """Augmented images a second of a data set in files and in memory, and what the step eats."""
    step = JaxStep(options.backbone[0], options)
    spec, size = step.state.params.spec, options.batch_size
    n, side = 2 * size, 2 * options.image_size
    labels = np.zeros(n, np.int64)
    split = Split(np.arange(n - 2), query=np.array([n - 2]), database=np.array([n - 1]))
    with tempfile.TemporaryDirectory() as folder:
        files = FileSource(write_pictures(folder, n, side))
        arrays = ArraySource(np.stack([files[i] for i in range(n)]))
        case = f"{side} px to {options.image_size} px, batch {size}"
        rows = [(Row("input", case, "step", items=size, unit="images"), step)]
        rows[0][0].note = f"of {options.backbone[0]}, which eats them"
        for name, source in (("JPEG files", files), ("arrays in memory", arrays)):
            dataset = Dataset("made", source, labels, ("all",), split)

            def read(dataset=dataset):
                batches = training_batches(
                    dataset,
                    spec,
                    augmentation="resized_crop_flip",
                    batch_size=size,
                    start=0,
                    stop=BATCHES,
                    seed=0,
                )
                return [batch["label"] for batch in batches]

            row = Row("input", case, f"hashnet_jax, {name}", unit="images", compile_seconds=0.0)
            row.items = BATCHES * size
            row.note = f"{THREADS} threads; the start of the pipeline included"
            rows.append((row, read))
        yield from measure(rows, options.repeats)


def loop(options):
    """The jitted step on a batch that is on the device, and `fit` on digits, as its preset says.

    `fit` is timed whole: it opens its folder, loads every batch, logs, and saves once at the end.
    """
    size, steps = (8, 4) if options.small else (32, 500)
    case = f"digits, small_cnn, batch {size}, {steps} steps on one device"
    names = ("step", "loop", "batches")
    rows = [Row("input", case, f"hashnet_jax, {by}", unit="steps") for by in names]
    for row in rows:
        row.items = steps
    spec = ModelSpec("small_cnn", image_size=8, resize=8, mean=(0.3,) * 3, std=(0.38,) * 3)
    train = TrainSpec(total_steps=steps, learning_rate=0.05, hash_multiplier=1.0)
    data = Options(queries_per_class=20, train_per_class=100, train_in_database=False)
    dataset, devices = DATASETS["digits"](data), parallel.local_devices(1)
    state = init_state(jax.random.key(0), spec, train)
    settings = {"augmentation": "shift", "batch_size": size, "seed": 0}
    step = parallel.compile_step(devices)
    batch = jax.device_put(next(training_batches(dataset, spec, start=0, stop=1, **settings)))

    def alone():
        now = jax.tree.map(lambda leaf: leaf.copy(), state)
        for _ in range(steps):
            now, metrics = jax.block_until_ready(step(now, batch))
        return metrics

    def whole():
        with tempfile.TemporaryDirectory() as path, RunFolder(pathlib.Path(path) / "run") as run:
            run.write_json("config.json", dataclasses.asdict(spec))
            with contextlib.redirect_stderr(io.StringIO()):  # its progress
                fit(state, dataset, run, devices=devices, checkpoint_every=steps, **settings)

    def batches():
        stream = training_batches(dataset, spec, start=0, stop=steps, **settings)
        return [batch["label"] for batch in stream]

    measure(list(zip(rows, (alone, whole, batches), strict=True)), options.repeats)
    outside = 1 - rows[0].median / rows[1].median
    rows[0].note = "the same batch again, on the device, waited for"
    rows[1].note = f"fit: data, log, one checkpoint; {outside:.1%} of it outside of the step"
    rows[2].note = f"augmented batches alone, {THREADS} threads"
    yield from rows


def large(options):
    """Pictures of 12 megapixels, squashed as a network reads them, whole and at reduced size."""
    size, shape = (16, (400, 300)) if options.small else (256, (4000, 3000))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "large.jpg"
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (shape[1] // 8, shape[0] // 8, 3), np.uint8))
        coarse.resize(shape, Image.Resampling.BICUBIC).save(path, quality=90)
        source, case = FileSource([path]), f"a JPEG of {shape[0]} x {shape[1]} to {size} x {size}"
        forms = {
            "hashnet_jax, as trained on": lambda: source.squashed(0, size),
            "decoded whole": lambda: squash(source[0], size),
        }
        rows = [(Row("input", case, by, unit="images"), form) for by, form in forms.items()]
        yield from measure(rows, options.repeats)
