"""Tests that data sets can be registered, and that importing the package stays cheap."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from hashnet_jax import ModelSpec, configs, data
from hashnet_jax.training import TrainSpec


def load(options):
    """Loads a class of ten black images and a class of ten white images."""
    labels = np.repeat([0, 1], 10)
    images = np.broadcast_to(255 * labels[:, None, None, None], (20, 8, 8, 1)).astype(np.uint8)
    split = data.per_class_split(
        labels, queries=options.queries_per_class, train=4, seed=options.split_seed
    )
    return data.Dataset("toy_data", data.ArraySource(images), labels, ("black", "white"), split)


@pytest.fixture
def toy_data():
    """Registers a data set and its config for the duration of a test, and returns its name."""
    data.register("toy_data", load)
    configs.register(
        configs.Config(
            dataset="toy_data",
            model=ModelSpec("small_cnn", bits=12, image_size=8, resize=8),
            train=TrainSpec(total_steps=10),
            data=data.Options(queries_per_class=2),
            augmentation="shift",
            batch_size=4,
        )
    )
    yield "toy_data"
    del data.DATASETS["toy_data"], configs.CONFIGS["toy_data"]


def test_a_registered_data_set_is_loaded_by_name_with_its_config(toy_data):
    config = configs.CONFIGS[toy_data]
    dataset = data.DATASETS[config.dataset](config.data)
    assert dataset.name == toy_data
    assert dataset.split.sizes() == {"train": 8, "query": 4, "database": 16, "validation": 0}
    other = data.DATASETS[toy_data](dataclasses.replace(config.data, split_seed=1))
    assert other.split.query.tolist() != dataset.split.query.tolist()


def test_a_registered_name_cannot_be_reused():
    with pytest.raises(ValueError, match="'digits' is already registered"):
        data.register("digits", load)


def test_importing_the_subpackage_loads_no_library_of_a_single_data_set():
    heavy = ["grain", "sklearn", "tensorflow", "tensorflow_datasets"]
    code = f"import sys, hashnet_jax.data; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
