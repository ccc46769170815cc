"""A program that takes three training steps with BatchNorm in one of several processes."""

import sys

import jax
import numpy as np

from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import local_devices, map_step
from hashnet_jax.training import TrainSpec, init_state, train_step
from tests.support.tiny import TINY


def batch(seed, n=32):
    """Returns images and labels; sorting gives each process a different number of similar pairs."""
    rng = np.random.default_rng(seed)
    label = np.sort(rng.integers(0, 4, n) ** 2)
    return {"image": rng.integers(0, 256, (n, 8, 8, 3)).astype(np.uint8), "label": label}


def after_three_steps(devices):
    """Returns the state, its metrics, and whether every earlier state was donated."""
    state = init_state(jax.random.key(0), TINY, TrainSpec(total_steps=10, learning_rate=1e-3))
    step, donated = map_step(train_step, devices), []
    for seed in range(3):
        rows = processes.share(32)
        before = state
        state, metrics = step(state, {name: part[rows] for name, part in batch(seed).items()})
        donated += [leaf.is_deleted() for leaf in jax.tree.leaves(before.params)]
    return state, metrics, all(donated)


def main(coordinator, count, index, file):
    processes.initialize(coordinator, int(count), int(index))
    state, metrics, donated = after_three_steps(local_devices())
    leaves = jax.tree.leaves(state.params.variables)
    arrays = {str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)}
    np.savez(file, **arrays, **metrics, donated=donated)
    processes.wait_for_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
