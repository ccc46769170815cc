"""Prepares small TFDS data sets as array_record, without TensorFlow."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.dataset_info import DatasetIdentity


def png(level: int, size: tuple[int, int] = (6, 4)) -> io.BytesIO:
    """Returns a PNG file with all pixels at the given level."""
    data = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), level, np.uint8)).save(data, "PNG")
    data.seek(0)
    return data


def prepare(
    data_dir: Path,
    name: str,
    version: str,
    features: Mapping[str, Any],
    examples: Mapping[str, list[Any]],
) -> None:
    """Writes a prepared data set.

    Args:
      data_dir: TFDS's data folder.
      name: name of the data set, including the config if there is one, e.g.
        ``"coco/2014"``.
      version: version of the data set, e.g. ``"1.1.0"``.
      features: features of each example.
      examples: the examples in each split, keyed by the split's name.
    """
    folder = data_dir / name / version
    folder.mkdir(parents=True)
    dataset, _, config = name.partition("/")
    identity = DatasetIdentity(
        name=dataset,
        config_name=config or None,
        version=tfds.core.Version(version),
        data_dir=str(folder),
        module_name="test",
    )
    writer = tfds.core.SequentialWriter(
        tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(features)),
        max_examples_per_shard=10,
        file_format="array_record",
    )
    writer.initialize_splits(list(examples))
    for split, rows in examples.items():
        writer.add_examples({split: rows})
    writer.close_all()
