"""Three updates of a small network with BatchNorm in one of several processes: tests start it."""

import sys

import jax
import numpy as np
from tiny import TINY

from hashnet_jax import parallel, processes
from hashnet_jax.optim import TrainSpec
from hashnet_jax.state import init_state


def batch(seed, n=32):
    """Images and labels; sorted, so that processes get other numbers of similar pairs."""
    rng = np.random.default_rng(seed)
    label = np.sort(rng.integers(0, 4, n) ** 2)
    return {"image": rng.integers(0, 256, (n, 8, 8, 3)).astype(np.uint8), "label": label}


def after_three_steps(devices):
    """The state and its metrics, and whether the states before were donated."""
    state = init_state(jax.random.key(0), TINY, TrainSpec(total_steps=10, learning_rate=1e-3))
    step, donated = parallel.compile_step(devices), []
    for seed in range(3):
        rows = processes.share(32)
        before = state
        state, metrics = step(state, {name: part[rows] for name, part in batch(seed).items()})
        donated += [leaf.is_deleted() for leaf in jax.tree.leaves(before.params)]
    return state, metrics, all(donated)


def main(coordinator, count, index, file):
    processes.initialize(coordinator, int(count), int(index))
    state, metrics, donated = after_three_steps(parallel.local_devices())
    leaves = jax.tree.leaves(state.params.variables)
    arrays = {str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)}
    np.savez(file, **arrays, **metrics, donated=donated)
    processes.wait_for_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
