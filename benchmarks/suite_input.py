"""The input pipeline: augmented training images a second that grain delivers."""

import tempfile

import numpy as np
from measuring import Row, measure
from suite_encode import write_pictures
from suite_train import model_spec

from hashnet_jax.data.dataset import Dataset
from hashnet_jax.data.pipeline import training_batches
from hashnet_jax.data.protocols import Split
from hashnet_jax.data.sources import ArraySource, FileSource

BATCHES = 2


def run(options):
    spec = model_spec(options.backbone[0], options)
    n, side = 2 * options.batch_size, 2 * options.image_size
    labels = np.zeros(n, np.int64)
    split = Split(np.arange(n - 2), query=np.array([n - 2]), database=np.array([n - 1]))
    with tempfile.TemporaryDirectory() as folder:
        files = FileSource(write_pictures(folder, n, side))
        arrays = ArraySource(np.stack([files[i] for i in range(n)]))
        rows = []
        for name, source in (("JPEG files", files), ("arrays in memory", arrays)):
            case = f"{name} of {side} px to {options.image_size} px, batch {options.batch_size}"
            dataset = Dataset("made", source, labels, ("all",), split)

            def read(dataset=dataset):
                batches = training_batches(
                    dataset,
                    spec,
                    augmentation="resized_crop_flip",
                    batch_size=options.batch_size,
                    start=0,
                    stop=BATCHES,
                    seed=0,
                )
                return [batch["label"] for batch in batches]

            row = Row("input", case, "hashnet_jax", unit="images", compile_seconds=0.0)
            row.items = BATCHES * options.batch_size
            row.note = "2 threads; the start of the pipeline included"
            rows.append((row, read))
        yield from measure(rows, options.repeats)
