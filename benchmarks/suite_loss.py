"""Compares the time and peak memory of the plain and the blockwise loss, with gradients."""

import argparse
import sys
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measuring import Row, measure, own_peak, peak_of_process
from hashnet_jax.losses import (
    count_pairs,
    kind_weights,
    pair_weights,
    pairwise_loss,
    pairwise_loss_blocks,
    similarity,
)


def plain(codes: jax.Array, labels: jax.Array) -> jax.Array:
    similar = similarity(labels, labels)
    weights = pair_weights(similar, counted=~jnp.eye(len(labels), dtype=bool))
    alpha = 10 / codes.shape[1]
    numerator, denominator = pairwise_loss(codes, codes, similar, alpha=alpha, weights=weights)
    return numerator / denominator


def blocks(codes: jax.Array, labels: jax.Array) -> jax.Array:
    weights = kind_weights("batch", *count_pairs(labels, labels, first_row=0))
    numerator, denominator = pairwise_loss_blocks(
        codes,
        codes,
        labels,
        labels,
        alpha=10 / codes.shape[1],
        weights=weights,
        first_row=0,
    )
    return numerator / denominator


FORMS = {"blocks": blocks, "plain": plain}

# The plain loss needs memory for about six arrays over all pairs, which is 1.6 GiB at 8,192.
MAX_PLAIN_BATCH = 8_192


def prepare(form: str, batch: int, bits: int) -> Callable:
    """Returns a function that computes the loss and its gradient on random codes."""
    rng = np.random.default_rng(0)
    codes = jnp.asarray(np.tanh(rng.normal(size=(batch, bits))), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 100, batch))
    function = jax.jit(jax.value_and_grad(FORMS[form]))
    return lambda: function(codes, labels)


def run(options: argparse.Namespace) -> Iterator[Row]:
    for batch in options.loss_batch:
        rows = []
        for form in FORMS:
            if form == "plain" and batch > MAX_PLAIN_BATCH:
                continue
            row = Row(
                "loss",
                f"B = N = {batch}, K = {options.bits}",
                f"hashnet_jax, {form}",
                items=batch * batch,
                unit="pairs",
                memory=peak_of_process("suite_loss", form, batch, options.bits),
                note="whole process",
            )
            rows.append((row, prepare(form, batch, options.bits)))
        yield from measure(rows, options.repeats)


if __name__ == "__main__":
    jax.block_until_ready(prepare(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))())
    print(own_peak())
