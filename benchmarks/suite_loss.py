"""Loss with gradients: the plain form against blocks of pairs, in time and in peak memory."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from measuring import Row, measure, own_peak, peak_of_a_process

from hashnet_jax.losses import pair_weights, pairwise_loss, similarity
from hashnet_jax.pair_balance import kind_weights
from hashnet_jax.pair_blocks import count_pairs, pairwise_loss_blocks


def plain(codes, labels):
    similar = similarity(labels, labels)
    weights = pair_weights(similar, counted=~jnp.eye(len(labels), dtype=bool))
    alpha = 10 / codes.shape[1]
    numerator, denominator = pairwise_loss(codes, codes, similar, alpha=alpha, weights=weights)
    return numerator / denominator


def blocks(codes, labels):
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
# Of the plain form, about six arrays of all pairs: 1.6 GiB at 8,192.
PLAIN_FITS = 8_192


def prepare(form, batch, bits):
    rng = np.random.default_rng(0)
    codes = jnp.asarray(np.tanh(rng.normal(size=(batch, bits))), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 100, batch))
    function = jax.jit(jax.value_and_grad(FORMS[form]))
    return lambda: function(codes, labels)


def run(options):
    for batch in options.loss_batch:
        rows = []
        for form in FORMS:
            if form == "plain" and batch > PLAIN_FITS:
                continue
            # Before this process grows.
            memory = peak_of_a_process(__file__, form, batch, options.bits)
            row = Row(
                "loss",
                f"B = N = {batch}, K = {options.bits}",
                f"hashnet_jax, {form}",
                items=batch * batch,
                unit="pairs",
                memory=memory,
                note="whole process",
            )
            rows.append((row, prepare(form, batch, options.bits)))
        yield from measure(rows, options.repeats)


if __name__ == "__main__":
    jax.block_until_ready(prepare(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))())
    print(own_peak())
