"""Training runs of a few steps, with the arguments of `fit` that tests vary."""

import json
from pathlib import Path

import jax
import numpy as np

from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.training import RunFolder, TrainSpec, fit, init_state
from tests.support.tiny import TINY

TRAIN = TrainSpec(total_steps=12, learning_rate=0.01)


def fresh_state(train=TRAIN):
    return init_state(jax.random.key(0), TINY, train)


def train(digits, path, *, state=None, resume=False, **kwargs):
    settings = {
        "augmentation": "shift",
        "batch_size": 16,
        "seed": 0,
        "devices": local_devices(1),
        "checkpoint_every": 4,
        "log_every": 1,
    }
    with RunFolder(path, resume=resume) as folder:
        folder.write_json("config.json", {})
        return fit(state or fresh_state(), digits, folder, **(settings | kwargs))


def lines(path: Path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_equal_bit_for_bit(a, b):
    leaves_a, leaves_b = (
        jax.tree.leaves((s.params, s.opt_state, s.step, s.beta, jax.random.key_data(s.key)))
        for s in (a, b)
    )
    for left, right in zip(leaves_a, leaves_b, strict=True):
        np.testing.assert_array_equal(left, right)
