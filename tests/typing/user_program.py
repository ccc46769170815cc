"""A program of a user, which pyright checks: it needs neither casts nor ignores."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

import hashnet_jax as hj


def search(
    params: hj.HashNetParams,
    queries: UInt8[Array, "Q H W 3"],
    database: UInt8[Array, "N bytes"],
) -> tuple[Int[Array, "Q 5"], Int[Array, "Q 5"]]:
    codes = hj.encode(params, queries)
    return hj.hamming.top_k(hj.pack_bits(codes), database, 5)


def train(run_dir: Path) -> float:
    spec = hj.ModelSpec("small_cnn", bits=16, image_size=8, resize=8)
    state = hj.training.init_state(
        jax.random.key(0), spec, hj.training.TrainSpec(total_steps=10, balance="batch")
    )
    batch = {"image": jnp.ones((4, 8, 8, 3)), "label": jnp.array([0, 0, 1, 1])}
    state, metrics = jax.jit(hj.training.train_step)(state, batch)
    hj.save(run_dir, state.params)
    return float(metrics["loss"])


def evaluate(packed: UInt8[np.ndarray, "N bytes"], labels: Int[np.ndarray, " N"]) -> str:
    result = hj.metrics.evaluate(packed, packed, labels, labels, bits=16, cutoff=5)
    precision = hj.metrics.within_radius(result.counts, radius=2).precision
    schedule = hj.schedules.sqrt_schedule(total_steps=100)
    return f"{result.mean_average_precision} {precision} {float(schedule(50))}"
